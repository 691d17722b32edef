//! Images made on the spot: busybox and some links, in each of the forms that jobs may bring.

use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

pub const APPLETS: &[&str] = &[
    "sh", "cat", "ls", "echo", "sleep", "id", "dd", "mount", "umount", "mknod", "ps", "kill", "touch",
    "mkdir", "ln", "wget", "nc", "env", "true", "yes", "head", "seq", "rm", "su", "chmod", "chown", "find",
    "wc", "tr", "grep", "unshare", "chroot", "sync", "mv", "test", "printf", "ulimit", "cut", "stat",
];

/// A root folder as a tar.
pub fn root_tar() -> Vec<u8> {
    root_tar_with(None)
}

/// The same, or one with a file more, so that no engine has this layer already.
pub fn root_tar_with(more: Option<&str>) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    let mut dir = |name: &str, mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        out.append_data(&mut header, name, std::io::empty()).unwrap();
    };
    for name in ["bin", "etc", "root"] {
        dir(name, 0o755);
    }
    let busybox = fs::read("/usr/bin/busybox").or_else(|_| fs::read("/bin/busybox")).unwrap();
    let mut file = |name: &str, mode: u32, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        out.append_data(&mut header, name, bytes).unwrap();
    };
    file("bin/busybox", 0o755, &busybox);
    // Belongs to root and runs as root, wherever that is allowed.
    file("bin/busybox-root", 0o4755, &busybox);
    file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n");
    if let Some(more) = more {
        file("etc/more", 0o644, more.as_bytes());
    }
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        out.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    out.into_inner().unwrap()
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The configuration of an image with this one layer.
pub fn config(layer: &[u8], config: &serde_json::Value) -> Vec<u8> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [sha256(layer)] },
        "history": [{ "created": "2020-01-01T00:00:00Z" }],
        "created": "2020-01-01T00:00:00Z",
    })
    .to_string()
    .into_bytes()
}

/// An archive as `docker save` writes it, with a name that it should not have.
pub fn saved(at: &Path, own: &serde_json::Value, tag: &str) -> PathBuf {
    let layer = root_tar();
    let config = config(&layer, own);
    let manifest =
        serde_json::json!([{ "Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"] }])
            .to_string();
    let mut out = tar::Builder::new(Vec::new());
    for (name, bytes) in
        [("config.json", &config), ("layer.tar", &layer), ("manifest.json", &manifest.into_bytes())]
    {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        out.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let file = at.join("saved.tar");
    fs::write(&file, out.into_inner().unwrap()).unwrap();
    file
}
