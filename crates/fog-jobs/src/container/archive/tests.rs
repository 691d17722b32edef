use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::path::PathBuf;

const MAX: u64 = 1 << 20;

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, bytes: &[u8]) -> Result<Archive, Refusal> {
        std::fs::write(self.at("in"), bytes).unwrap();
        Archive::open(&self.at("in"), &self.at("scratch"), "amd64", MAX)
    }

    /// The names and contents of what would be loaded, and the image's id.
    fn canonical(&self, bytes: &[u8]) -> Result<(Files, String), Refusal> {
        let archive = self.open(bytes)?;
        let id = archive.id();
        archive.write(&self.at("out"), MAX)?;
        let mut out = tar::Archive::new(File::open(self.at("out")).unwrap());
        let files = out.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), content)
        });
        Ok((files.collect(), id))
    }
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        out.append_data(&mut header, name, *content).unwrap();
    }
    out.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn config(layers: &[&[u8]]) -> String {
    let ids: Vec<_> = layers.iter().map(|layer| sha256(layer)).collect();
    serde_json::json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids } })
        .to_string()
}

fn saved_as(config: &str, layer: &[u8], tags: &str) -> Vec<u8> {
    let manifest = format!(r#"[{{"Config":"c.json","RepoTags":{tags},"Layers":["a/layer.tar"]}}]"#);
    tar(&[
        ("repositories", br#"{"postgres":{"16":"a"}}"#),
        ("a/layer.tar", layer),
        ("c.json", config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ])
}

#[test]
fn names_are_left_behind() {
    let lab = Lab::new();
    let layer = tar(&[("bin/x", b"program")]);
    let config = config(&[&layer]);
    let (files, id) = lab.canonical(&saved_as(&config, &layer, r#"["postgres:16"]"#)).unwrap();
    assert_eq!(id, sha256(config.as_bytes()));
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [&format!("{}.json", &id[7..]), "manifest.json", "layer-0.tar"]);
    let manifest: serde_json::Value = serde_json::from_slice(&files[1].1).unwrap();
    assert!(
        manifest[0]["RepoTags"].is_null()
            && !files.iter().any(|(_, c)| c.windows(8).any(|w| w == b"postgres"))
    );
    assert_eq!(files[2].1, layer);
    // What was written is read again as the same image.
    let again = std::fs::read(lab.at("out")).unwrap();
    assert_eq!(lab.canonical(&again).unwrap(), (files, id));
}

#[test]
fn compressed_layers_and_archives_are_unpacked() {
    let lab = Lab::new();
    let layer = tar(&[("bin/x", b"program")]);
    let config = config(&[&layer]);
    let plain = lab.canonical(&saved_as(&config, &layer, "null")).unwrap();
    assert_eq!(lab.canonical(&saved_as(&config, &gzip(&layer), "null")).unwrap(), plain);
    assert_eq!(lab.canonical(&gzip(&saved_as(&config, &layer, "null"))).unwrap(), plain);
}

#[test]
fn bombs_are_refused() {
    let lab = Lab::new();
    let layer = tar(&[("zeros", &vec![0; 4 << 20])]);
    let config = config(&[&layer]);
    for bytes in [saved_as(&config, &gzip(&layer), "null"), gzip(&saved_as(&config, &layer, "null")), layer] {
        let error = lab.canonical(&bytes).unwrap_err();
        assert!(error.contains("1048576 bytes"), "{error}");
    }
}

#[test]
fn oci_layouts_are_read() {
    let lab = Lab::new();
    let layer = tar(&[("bin/x", b"program")]);
    let packed = gzip(&layer);
    let config = config(&[&layer]);
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": { "digest": sha256(config.as_bytes()) },
        "layers": [{ "digest": sha256(&packed), "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip" }],
    })
    .to_string();
    let index = serde_json::json!({ "manifests": [
        { "digest": sha256(b"?"), "platform": { "os": "linux", "architecture": "arm64" } },
        { "digest": sha256(manifest.as_bytes()), "platform": { "os": "linux", "architecture": "amd64" },
          "annotations": { "org.opencontainers.image.ref.name": "postgres:16" } },
    ] })
    .to_string();
    let path = |bytes: &[u8]| blob(&sha256(bytes)).unwrap();
    let files = |config: &str| {
        tar(&[
            ("index.json", index.as_bytes()),
            (&path(manifest.as_bytes()), manifest.as_bytes()),
            (&path(&packed), &packed),
            (&path(config.as_bytes()), config.as_bytes()),
        ])
    };
    let (files_out, id) = lab.canonical(&files(&config)).unwrap();
    assert_eq!((files_out.last().unwrap().1.clone(), id), (layer, sha256(config.as_bytes())));
    assert!(lab.canonical(&files("{}")).unwrap_err().contains("not in it"));
}

#[test]
fn a_root_folder_is_an_image_with_the_same_id_each_time() {
    let lab = Lab::new();
    let root = tar(&[("bin/x", b"program")]);
    let (files, id) = lab.canonical(&root).unwrap();
    assert_eq!(files.last().unwrap().1, root);
    assert_eq!(lab.canonical(&root).unwrap().1, id);
    assert_eq!(lab.canonical(&gzip(&root)).unwrap().1, id);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let lab = Lab::new();
    let layer = tar(&[("bin/x", b"program")]);
    let good = config(&[&layer]);
    let refused = |bytes: &[u8], why: &str| {
        let error = lab.canonical(bytes).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    refused(b"", "no tar archive");
    refused(b"this is no archive at all, but a text that is long enough", "no tar archive");
    refused(&saved_as(&good, b"another layer", "null"), "digest");
    refused(&saved_as(&good.replace("amd64", "arm64"), &layer, "null"), "linux/arm64");
    refused(&saved_as("{", &layer, "null"), "configuration");
    refused(&saved_as(&config(&[]), &layer, "null"), "1 layers");
    refused(&saved_as(&good, &[0x28, 0xb5, 0x2f, 0xfd, 0], "null"), "zstd");
    refused(&tar(&[("manifest.json", b"[]")]), "0 images");
    refused(&tar(&[("manifest.json", br#"[{"Config":"../../etc/passwd","Layers":[]}]"#)]), "not in it");
    refused(&tar(&[("index.json", br#"{"manifests":[{"digest":"sha256:../../x"}]}"#)]), "no SHA-256 digest");
}

#[test]
fn links_within_the_archive_do_not_go_round_for_ever() {
    let lab = Lab::new();
    let mut out = tar::Builder::new(Vec::new());
    for (name, to) in [("a/layer.tar", "../b/layer.tar"), ("b/layer.tar", "../a/layer.tar")] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        out.append_link(&mut header, name, to).unwrap();
    }
    let manifest = br#"[{"Config":"a/layer.tar","Layers":[]}]"#;
    let mut header = tar::Header::new_gnu();
    header.set_size(manifest.len() as u64);
    out.append_data(&mut header, "manifest.json", manifest.as_slice()).unwrap();
    assert!(lab.canonical(&out.into_inner().unwrap()).unwrap_err().contains("not in it"));
}

proptest! {
    #[test]
    fn damage_never_panics(at in 0usize..8192, with in 1u8.., cut in 0usize..8192) {
        let lab = Lab::new();
        let layer = tar(&[("bin/x", b"program")]);
        let mut bytes = saved_as(&config(&[&layer]), &layer, "null");
        let at = at % bytes.len();
        bytes[at] ^= with;
        bytes.truncate(bytes.len().max(cut));
        let _ = lab.canonical(&bytes);
        bytes.truncate(cut % bytes.len());
        let _ = lab.canonical(&bytes);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = Lab::new().canonical(&bytes);
    }
}
