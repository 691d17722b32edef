//! A registry of one image, as far as pulling by digest needs it, on the loopback of an engine's network namespace.

use super::image;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

pub const PORT: u16 = 5000;

/// Serves in a process of its own, in the network namespace of process `pid`.
pub struct Registry {
    child: Child,
    /// The digest of the image's manifest.
    pub digest: String,
}

impl Registry {
    pub fn start(pid: u32, tampered: bool) -> Self {
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/proc/{pid}/ns/net"))
            .args(["setpriv", "--pdeathsig", "TERM"])
            .arg(std::env::current_exe().unwrap())
            .args(["registry", if tampered { "tampered" } else { "honest" }])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut digest = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut digest).unwrap();
        assert!(digest.starts_with("sha256:"), "the registry does not start: {digest:?}");
        Self { child, digest: digest.trim().to_owned() }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The registry's process.
pub fn serve(tampered: bool) {
    // Of its own: an engine that has the layer from elsewhere fetches nothing.
    let layer = image::root_tar_with(Some(if tampered { "tampered" } else { "honest" }));
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&layer).unwrap();
    let packed = packed.finish().unwrap();
    // Unlike any image that an archive brings, so that it has to be fetched.
    let own = serde_json::json!({ "Entrypoint": ["/bin/echo"], "Labels": { "from": if tampered { "t" } else { "r" } } });
    let config = image::config(&layer, &own);
    let descriptor = |kind: &str, bytes: &[u8]| serde_json::json!({ "mediaType": kind, "size": bytes.len(), "digest": image::sha256(bytes) });
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": kind,
        "config": descriptor("application/vnd.docker.container.image.v1+json", &config),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &packed)],
    })
    .to_string()
    .into_bytes();
    let digest = image::sha256(&manifest);
    let mut files = HashMap::new();
    files.insert("/v2/".to_owned(), ("application/json", b"{}".to_vec()));
    files.insert(format!("/v2/app/manifests/{digest}"), (kind, manifest));
    for (name, mut bytes) in [(image::sha256(&config), config), (image::sha256(&packed), packed)] {
        if tampered && bytes.len() > 100_000 {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        files.insert(format!("/v2/app/blobs/{name}"), ("application/octet-stream", bytes));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
    println!("{digest}");
    for stream in listener.incoming().flatten() {
        let files = files.clone();
        std::thread::spawn(move || answer(stream, &files));
    }
}

fn answer(stream: TcpStream, files: &HashMap<String, (&str, Vec<u8>)>) {
    let mut out = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream).lines();
    loop {
        let Some(Ok(request)) = lines.next() else { return };
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let (status, kind, body) = match files.get(path) {
            Some((kind, body)) => ("200 OK", *kind, body.as_slice()),
            None => ("404 Not Found", "application/json", b"{}".as_slice()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Docker-Distribution-Api-Version: registry/2.0\r\n\r\n",
            body.len()
        );
        let body = if method == "HEAD" { b"" } else { body };
        if out.write_all(head.as_bytes()).and_then(|()| out.write_all(body)).is_err() {
            return;
        }
    }
}
