//! Bad input and trouble: a clear error, a node that goes on, nothing lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use fog_e2e::{Mixnet, Node, Process, eventually, fog};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

#[test]
fn malformed_cards_and_unknown_names_are_told_apart() {
    let a = Node::new("Ada", &[]);
    let card = a.card();
    for (bad, needle) in [
        ("hello", "not an address card"),
        (&card[..card.len() - 5], "damaged"),
        (card.as_str(), "your own card"),
    ] {
        let (code, error) = a.try_fog(&["chat", "add", bad]).unwrap_err();
        assert!(code == 2 && error.contains(needle), "{code} {error}");
    }
    let (code, error) = a.try_fog(&["chat", "send", "Nobody", "hi"]).unwrap_err();
    assert!(code == 5 && error.contains("Nobody"), "{code} {error}");
    let (code, _) = a.try_fog(&["job", "status", &"0".repeat(32)]).unwrap_err();
    assert_eq!(code, 5);
    assert_eq!(a.fog(&["status"])["network"], "online");
}

#[test]
fn two_processes_do_not_share_a_data_folder_and_none_is_told_of() {
    let a = Node::new("Ada", &[]);
    let mut second = Node::at(&a.dir, &[]);
    second.spawn();
    let process = second.process.as_mut().unwrap();
    assert_eq!(process.wait(), Some(1));
    assert!(
        process.printed().contains("another Fog Compute runs with the data folder"),
        "{}",
        process.printed()
    );
    assert_eq!(a.fog(&["status"])["network"], "online", "the first goes on");

    let nobody = tempfile::tempdir().unwrap();
    let (code, error) = Node::at(nobody.path(), &[]).try_fog(&["status"]).unwrap_err();
    assert!(code == 3 && error.contains("fog node"), "{code} {error}");
}

#[test]
fn a_port_in_use_is_named_and_the_test_network_waits_for_its_ports() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::at(&folder.path().join("data"), &["--listen", &address]);
    node.spawn();
    let process = node.process.as_mut().unwrap();
    assert_eq!(process.wait(), Some(1));
    assert!(
        process.printed().contains(&address) && process.printed().contains("--listen"),
        "{}",
        process.printed()
    );

    // A relay's port is taken while the node is down: the node starts, says so, and recovers.
    let mut a = Node::new("Ada", &[]);
    let network = a.fog(&["status"]);
    assert_eq!(network["network"], "online");
    let port = relay_address(&a);
    a.kill();
    let thief = eventually("the port", || TcpListener::bind(&port).ok());
    a.spawn();
    eventually("the trouble to be told", || {
        let status = a.try_fog(&["status"]).ok()?;
        (status["network"] == "trouble" && status["network_reason"].as_str()?.contains(&port)).then_some(())
    });
    drop(thief);
    eventually("the network to recover", || {
        (a.try_fog(&["status"]).ok()?["network"] == "online").then_some(())
    });
}

/// The address of one of the node's own relays.
fn relay_address(node: &Node) -> String {
    let view = post(node, &serde_json::json!({"command": "get_network"}));
    view["networks"][0]["relays"][0]["address"].as_str().unwrap().into()
}

#[test]
fn damaged_files_stop_the_start_with_advice_and_are_left_alone() {
    let mut a = Node::new("Ada", &[]);
    a.kill();
    // Secrets that are gone are not replaced by a new identity.
    std::fs::rename(a.dir.join("secrets.json"), a.dir.join("secrets.away")).unwrap();
    a.spawn();
    let process = a.process.as_mut().unwrap();
    assert_eq!(process.wait(), Some(1));
    assert!(process.printed().contains("secrets"), "{}", process.printed());
    assert!(!a.dir.join("secrets.json").exists());
    std::fs::rename(a.dir.join("secrets.away"), a.dir.join("secrets.json")).unwrap();
    a.start();
    a.kill();

    let database = a.dir.join("fog.db");
    std::fs::write(&database, vec![0xa5; 16384]).unwrap();
    for name in ["fog.db-wal", "fog.db-shm"] {
        _ = std::fs::remove_file(a.dir.join(name));
    }
    a.spawn();
    let process = a.process.as_mut().unwrap();
    assert_eq!(process.wait(), Some(1));
    let printed = process.printed();
    assert!(printed.contains("fog.db cannot be used") && printed.contains("backup"), "{printed}");
    assert_eq!(std::fs::read(&database).unwrap(), vec![0xa5; 16384]);

    // The advice works: without the file the node begins anew, and is the same person.
    std::fs::rename(&database, a.dir.join("fog.away")).unwrap();
    a.start();
    assert_eq!(a.fog(&["chat", "contacts"]).as_array().map(Vec::len), Some(0));
}

#[test]
fn a_first_run_that_fails_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let mut node = Node::at(&dir, &["--consensus", "/nonexistent/consensus", "--name", "Ada"]);
    node.spawn();
    let process = node.process.as_mut().unwrap();
    assert_eq!(process.wait(), Some(1));
    assert!(process.printed().contains("/nonexistent/consensus"), "{}", process.printed());
    let mut node = Node::at(&dir, &["--name", "Ada"]);
    node.start();
    node.kill();
    // Another network's consensus is not ignored silently.
    let net = Mixnet::start();
    let mut other = Node::at(&dir, &["--consensus", net.consensus.to_str().unwrap()]);
    other.spawn();
    let process = other.process.as_mut().unwrap();
    assert_eq!(process.wait(), Some(1));
    assert!(process.printed().contains("another network"), "{}", process.printed());
}

#[test]
fn cards_given_in_both_directions_lead_into_one_network() {
    let a = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let b = Node::new("Bob", &["--mean-delay-ms", "5"]);
    let (card_a, card_b) = (a.card(), b.card());
    b.fog(&["chat", "add", &card_a]);
    eventually("Ada to know", || (!a.contacts().is_empty()).then_some(()));
    a.fog(&["chat", "add", &card_b]);
    a.fog(&["chat", "send", "Bob", "hello", "--wait"]);
    // Bob's membership travels by itself; a proposal counts those whom its proposer knows as members.
    let id = eventually("Bob to be a member", || {
        let proposal = a.fog(&["dao", "propose", "Together"]);
        let both = proposal["tally"]["total"] == "20000000000000000000000";
        both.then(|| proposal["id"].as_str().unwrap().to_string())
    });
    eventually("the proposal", || {
        b.fog(&["dao", "list"]).as_array()?.iter().any(|p| p["id"] == id).then_some(())
    });
    // A new name reaches the contact, the votes and the journal.
    let renamed = post(&b, &serde_json::json!({"command": "get_settings"}));
    let mut settings = renamed;
    settings["name"] = "Robert".into();
    post(&b, &serde_json::json!({"command": "set_settings", "settings": settings}));
    eventually("the new name", || a.contacts().iter().any(|c| c["name"] == "Robert").then_some(()));
    b.fog(&["dao", "vote", &id, "yes"]);
    eventually("the vote under the new name", || {
        a.fog(&["dao", "list", &id])["votes"].as_array()?.iter().any(|v| v["name"] == "Robert").then_some(())
    });
}

/// A command by the API that the page uses.
fn post(node: &Node, command: &serde_json::Value) -> serde_json::Value {
    let access: serde_json::Value =
        serde_json::from_slice(&std::fs::read(node.dir.join("api.json")).unwrap()).unwrap();
    let mut reply = ureq::post(format!("{}/api/command", access["url"].as_str().unwrap()))
        .header("authorization", format!("Bearer {}", access["token"].as_str().unwrap()))
        .send_json(command)
        .unwrap();
    reply.body_mut().read_json().unwrap()
}

/// A consensus that cannot be used is refused while the relay goes on with the old one; a good one is taken.
#[test]
fn a_mixnode_reads_its_consensus_anew_and_refuses_a_damaged_one() {
    let net = Mixnet::start();
    let relay = net.relays[0].2.as_ref().expect("runs");
    let hang_up = || {
        let kill = Command::new("kill").args(["-HUP", &relay.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    };
    let good = std::fs::read(&net.consensus).unwrap();
    std::fs::write(&net.consensus, &good[..good.len() / 2]).unwrap();
    hang_up();
    eventually("the refusal", || relay.printed().contains("was not read anew").then_some(()));
    std::fs::write(&net.consensus, &good).unwrap();
    hang_up();
    eventually("the new one", || relay.printed().contains("a new consensus is in use").then_some(()));
}

/// `fog mixnet up` fails where a relay cannot run, says why, and leaves none behind.
#[test]
fn a_mixnet_of_which_a_relay_cannot_run_says_so_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    let mixnet = |what: &str| Command::new(fog()).args(["mixnet", what, "--dir"]).arg(&dir).output().unwrap();
    assert!(mixnet("new").status.success());
    std::fs::write(dir.join("relay-3").join("tags-0"), "something else").unwrap();
    let up = mixnet("up");
    let said = String::from_utf8_lossy(&up.stderr);
    assert_eq!(up.status.code(), Some(1), "{said}");
    assert!(said.contains("holds no replay tags") && said.contains("relay-3 does not run"), "{said}");
    assert!(!String::from_utf8_lossy(&up.stdout).contains("relays run"));
}

#[test]
fn broken_frames_do_not_stop_a_mixnode() {
    let mut net = Mixnet::start();
    let consensus = net.consensus.to_str().unwrap().to_string();
    for (_, dir, _) in &net.relays {
        let relay: serde_json::Value =
            serde_json::from_slice(&std::fs::read(format!("{dir}/relay.json")).unwrap()).unwrap();
        let address = relay["listen"].as_str().unwrap().to_string();
        for bytes in
            [&u32::MAX.to_be_bytes()[..], &[0, 0, 0, 200, 1, 2, 3], &[0, 0, 0, 0], &[0, 0, 0, 32, 0xff]]
        {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(bytes).unwrap();
            stream.write_all(&[7; 64]).ok();
        }
    }
    assert!(net.relays.iter_mut().all(|(_, _, p)| p.as_mut().is_some_and(Process::runs)));
    let a = Node::new("Ada", &["--consensus", &consensus]);
    let b = Node::new("Bob", &["--consensus", &consensus]);
    b.meet(&a, "Bob");
    b.fog(&["chat", "send", "Ada", "still here", "--wait"]);
    // A relay that does not run tells why.
    let mut command = Command::new(fog());
    let mut wrong =
        Process::start(command.args(["mixnode", "--dir", "/nonexistent"]), a.dir.parent().unwrap(), "wrong");
    assert_eq!(wrong.wait(), Some(1));
    assert!(wrong.printed().contains("fog mixnet new"), "{}", wrong.printed());
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(&disk).status();
    if !mounted.is_ok_and(|s| s.success()) {
        eprintln!("not run: making a small disk takes the right to mount");
        return;
    }
    let _unmount = Unmount(disk.clone());
    let mut a = Node::at(&disk.join("data"), &["--name", "Ada"]);
    a.start();
    let b = Node::new("Bob", &[]);
    b.meet(&a, "Bob");
    a.fog(&["chat", "send", "Bob", "before"]);
    std::fs::write(disk.join("filler"), vec![0; 16 << 20]).unwrap_err();
    let (_, error) =
        eventually("the disk to be full", || a.try_fog(&["chat", "send", "Bob", &"x".repeat(30_000)]).err());
    assert!(error.contains("disk is full"), "{error}");
    // What the other side sends meanwhile is acknowledged only if it was stored: nothing of it is lost.
    let texts: Vec<String> = (0..20).map(|i| format!("{i} {}", "y".repeat(60_000))).collect();
    for text in &texts {
        b.fog(&["chat", "send", "Ada", text]);
    }
    eventually("messages to be refused", || {
        a.printed().contains("a message could not be stored").then_some(())
    });
    let waiting = b.messages("Ada").iter().filter(|m| m["status"] != "delivered").count();
    assert!(waiting > 0, "a megabyte does not fit on a full disk");
    std::fs::remove_file(disk.join("filler")).unwrap();
    eventually("all messages", || b.messages("Ada").iter().all(|m| m["status"] == "delivered").then_some(()));
    assert!(a.process.as_mut().unwrap().runs());
    let mut got: Vec<String> = a.texts("Bob").into_iter().filter(|t| t.contains("yyy")).collect();
    got.sort_by_key(|t| t.split(' ').next().and_then(|n| n.parse::<u32>().ok()));
    assert!(got == texts, "each once");
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // The node's process may end a moment after its value was dropped.
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
