//! Names of images. Only those that name their content: a tag can mean something else tomorrow, or on another device.

use std::fmt;

/// An image by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImageName {
    /// In a registry, by the digest of its manifest.
    Registry {
        /// The registry's host, for instance `docker.io`.
        registry: String,
        /// The path in it, for instance `library/alpine`.
        path: String,
        /// `sha256:` and 64 hexadecimal digits.
        digest: String,
    },
    /// In the engine's own store, by its id: `sha256:` and 64 hexadecimal digits.
    Local(String),
}

/// Longest name of an image, bytes.
const MAX_NAME: usize = 512;

impl ImageName {
    /// Reads `NAME@sha256:...` or `sha256:...`.
    ///
    /// # Errors
    /// A sentence that says what to write instead.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_NAME || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(
                "its name is longer than 512 bytes, or has characters that no image's name has".into()
            );
        }
        if is_digest(text) {
            return Ok(Self::Local(text.to_owned()));
        }
        let Some((name, digest)) = text.split_once('@') else {
            return Err(format!(
                "{text} names it by tag, which can mean something else on another day: name it by digest, as in \
                 NAME@sha256:... (`docker images --digests` shows it), or give an archive made by `docker save`"
            ));
        };
        if !is_digest(digest) {
            return Err(format!("{digest} is no digest: sha256: and 64 hexadecimal digits are expected"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path.to_owned()),
            _ if name.contains('/') => ("docker.io", name.to_owned()),
            _ => ("docker.io", format!("library/{name}")),
        };
        // The digest decides; a tag beside it says nothing.
        let path = path.rsplit_once(':').map_or(path.as_str(), |(path, _)| path).to_owned();
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let host_ok = registry.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
            && registry.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'[');
        let part_ok = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
                && part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        };
        if !host_ok || !path.split('/').all(part_ok) {
            return Err(format!("{name} is no image's name: it is written like ghcr.io/owner/program"));
        }
        Ok(Self::Registry { registry: registry.to_owned(), path, digest: digest.to_owned() })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry { registry, path, digest } => write!(f, "{registry}/{path}@{digest}"),
            Self::Local(id) => f.write_str(id),
        }
    }
}

/// `sha256:` and 64 lower-case hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest() -> String {
        format!("sha256:{}", "0a".repeat(32))
    }

    #[test]
    fn digests_are_names() {
        let full = |text: &str| ImageName::parse(text).unwrap().to_string();
        let d = digest();
        assert_eq!(full(&format!("alpine@{d}")), format!("docker.io/library/alpine@{d}"));
        assert_eq!(full(&format!("alpine:3.20@{d}")), format!("docker.io/library/alpine@{d}"));
        assert_eq!(full(&format!("me/tool@{d}")), format!("docker.io/me/tool@{d}"));
        assert_eq!(full(&format!("127.0.0.1:5000/a/b@{d}")), format!("127.0.0.1:5000/a/b@{d}"));
        assert_eq!(full(&d), d);
    }

    #[test]
    fn tags_and_nonsense_are_refused_with_advice() {
        for tag in ["alpine", "alpine:latest", "ghcr.io/me/tool:1"] {
            let error = ImageName::parse(tag).unwrap_err();
            assert!(error.contains("by digest") && error.contains(tag), "{error}");
        }
        let d = digest();
        for bad in [
            "alpine@sha256:12".to_owned(),
            format!("alpine@{}", d.to_uppercase()),
            format!("-v/x@{d}"),
            format!("../x@{d}"),
            format!("a//b@{d}"),
            format!("a b@{d}"),
            format!("@{d}"),
            format!("A@{d}"),
            format!("host.x?y/a@{d}"),
        ] {
            assert!(ImageName::parse(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_read_is_read_again(text in "[a-z0-9:@/.A-Z_-]{0,90}", tail in any::<bool>()) {
            let text = if tail { format!("{text}@{}", digest()) } else { text };
            if let Ok(name) = ImageName::parse(&text) {
                prop_assert_eq!(ImageName::parse(&name.to_string()).unwrap(), name);
            }
        }
    }
}
