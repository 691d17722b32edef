//! A container as a job, from the sender's command line to the engine of another's device and back: not before its owner
//! has allowed it, with an image that travels with the job, and paid for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Node, Process, eventually};
use serde_json::Value;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// An engine that nothing outside of this test sees, and that ends with it.
struct Engine {
    process: Process,
    folder: TempDir,
}

impl Engine {
    fn start() -> Self {
        // Short: a socket's path has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("fog-engine-").tempdir_in("/tmp").unwrap();
        let at = folder.path().display();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"]);
        command.args(["--kill-child", "--mount-proc", "sh", "-c"]);
        command.arg(format!(
            "busybox ip link set lo up; exec dockerd --data-root {at}/data --exec-root {at}/exec --pidfile {at}/pid \
             --group root --host unix://{at}/engine.sock"
        ));
        let process = Process::start(&mut command, folder.path(), "dockerd");
        let socket = folder.path().join("engine.sock");
        eventually("the engine's socket", || socket.exists().then_some(()));
        Self { process, folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// Why no engine can be started here, if none can.
fn missing() -> Option<String> {
    if !std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Some("a container engine can only be started by root".into());
    }
    let there = |program: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let programs = ["dockerd", "runc", "busybox", "setpriv", "unshare", "tar"];
    let missing: Vec<_> = programs.into_iter().filter(|program| !there(program)).collect();
    (!missing.is_empty()).then(|| format!("these programs are missing: {}", missing.join(", ")))
}

/// A root folder with a shell, as a tar.
fn image(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "wc", "id"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let archive = folder.join("image.tar");
    let made = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status().unwrap();
    assert!(made.success());
    archive
}

fn ended(node: &Node, job: &Value) -> Value {
    eventually("the job to end", || {
        let job = node.fog(&["job", "status", job["id"].as_str().unwrap()]);
        ["completed", "failed", "cancelled"].iter().any(|s| job["state"] == *s).then_some(job)
    })
}

#[test]
fn a_container_runs_where_its_owner_allows_it() {
    if let Some(reason) = missing() {
        eprintln!("left out: {reason}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = image(folder.path());
    let text = folder.path().join("words.txt");
    std::fs::write(&text, "one two three\n".repeat(1000)).unwrap();
    let engine = Engine::start();
    let ada = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let bob = Node::new("Bob", &["--mean-delay-ms", "5"]);
    bob.meet(&ada, "Bob");
    ada.fog(&["harvest", "now"]);

    let script = "wc -w < /in/words.txt; id -u; cat /in/words.txt > /out/copy";
    let (archive, text) = (archive.to_str().unwrap(), text.to_str().unwrap());
    let submit = || {
        let job = bob.fog(&[
            "job",
            "submit",
            "--to",
            "Ada",
            "--container",
            "busybox",
            "--image-archive",
            archive,
            "--in",
            text,
            "--entrypoint",
            "/bin/sh",
            "--",
            "-c",
            script,
        ]);
        ended(&bob, &job)
    };
    let before = ada.fog(&["job", "allow"]);
    assert_eq!((&before["allowed"]["containers"], &before["engine"]), (&false.into(), &Value::Null));
    let refused = submit();
    assert_eq!(refused["state"], "failed", "{refused:#}");
    assert!(refused["note"].as_str().unwrap().contains("container"), "{refused:#}");

    let socket = engine.socket();
    let allow = ["job", "allow", "--containers", "true", "--container-socket", socket.to_str().unwrap()];
    let allowed = ada.fog(&allow);
    assert!(allowed["engine"].as_str().is_some_and(|engine| engine.starts_with("Docker")), "{allowed:#}");
    let job = submit();
    assert_eq!(job["state"], "completed", "{job:#}");
    assert_eq!(job["output_preview"], "3000\n65534\n", "{job:#}");
    let out = folder.path().join("out");
    bob.fog(&["job", "get", job["id"].as_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert_eq!(std::fs::read(out.join("copy")).unwrap(), std::fs::read(text).unwrap());
    assert!(job["price"].as_str().unwrap().parse::<u128>().unwrap() > 0, "{job:#}");

    // Not any more.
    let forbidden = ada.fog(&["job", "allow", "--containers", "false"]);
    assert_eq!(forbidden["engine"], Value::Null, "{forbidden:#}");
    assert_eq!(submit()["state"], "failed");
}
