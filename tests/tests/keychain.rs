//! The secrets' key in a real keychain (the Secret Service of GNOME Keyring), on a message bus of its own.
#![cfg(all(feature = "window", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Node, eventually};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn start(command: &mut Command, package: &str) -> Ends {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    Ends(child.unwrap_or_else(|e| panic!("{command:?} does not start ({e}): install the package {package}")))
}

#[test]
fn the_keychain_keeps_the_key_and_without_it_the_node_does_not_start_anew() {
    let home = tempfile::tempdir().unwrap();
    let mut bus =
        start(Command::new("dbus-daemon").args(["--session", "--nofork", "--print-address"]), "dbus");
    let mut address = String::new();
    BufReader::new(bus.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address = address.trim().to_string();
    let environment = [
        ("DBUS_SESSION_BUS_ADDRESS".to_string(), address.clone()),
        ("HOME".into(), home.path().display().to_string()),
        ("XDG_RUNTIME_DIR".into(), home.path().display().to_string()),
        ("XDG_DATA_HOME".into(), home.path().join("share").display().to_string()),
    ];
    let daemon = {
        let mut command = Command::new("gnome-keyring-daemon");
        command.args(["--foreground", "--unlock", "--components=secrets"]).envs(environment.iter().cloned());
        let mut daemon = start(&mut command, "gnome-keyring");
        daemon.0.stdin.take().unwrap().write_all(b"keyring password").unwrap();
        daemon
    };

    let mut node = Node::at(&home.path().join("data"), &["--keychain", "auto", "--name", "Ada"]);
    node.environment = environment.to_vec();
    // The keychain's daemon may need a moment before it answers; a node that starts earlier uses a file.
    eventually("the keychain to be used", || {
        node.start();
        let file = std::fs::read_to_string(node.dir.join("secrets.json")).unwrap();
        if file.contains("\"storage\":\"keychain\"") {
            return Some(());
        }
        node.kill();
        std::fs::remove_dir_all(&node.dir).unwrap();
        None
    });
    let card = node.card();
    node.kill();
    node.start();
    assert_eq!(node.card(), card, "the same identity");

    // Without the keychain there is an error and no new identity.
    let secrets = std::fs::read_to_string(node.dir.join("secrets.json")).unwrap();
    node.kill();
    drop(daemon);
    node.spawn();
    let process = node.process.as_mut().unwrap();
    assert_eq!(process.wait(), Some(1));
    assert!(process.printed().contains("keychain"), "{}", process.printed());
    // (The bus may start a locked keychain by itself now, so that the way back cannot be tried here.)
    assert!(
        std::fs::read_to_string(node.dir.join("secrets.json")).unwrap().contains(&secrets),
        "nothing was changed"
    );
}
