//! A network with authorities, all of it in processes of their own: its keys change while people write to each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Chaos, Node, Process, eventually, fog};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Keys for twelve seconds, a consensus every four.
const HASTE: [&str; 8] = ["--authorities", "3", "--epoch-s", "12", "--overlap-s", "3", "--voting-s", "4"];

fn node(name: &str, consensus: &Path) -> Node {
    Node::new(name, &["--consensus", consensus.to_str().expect("a path"), "--mean-delay-ms", "5"])
}

fn network(node: &Node) -> Value {
    node.fog(&["network", "status"])
}

fn until(node: &Node) -> f64 {
    network(node)["networks"][0]["valid_until"].as_f64().expect("a time")
}

/// Two people write to each other through several epochs, while the relays lose packets, and one home relay is left
/// for another; one of them was away for longer than any consensus holds.
#[test]
fn a_conversation_goes_on_while_all_keys_change() {
    let made = [&HASTE[..], &["--public"]].concat();
    let net = Chaos::made(&made, &["--chaos-loss", "2"]);
    let (a, mut b) = (node("Ada", &net.consensus), node("Bob", &net.consensus));
    b.meet(&a, "Bob");
    let view = network(&b);
    assert_eq!(view["privacy"]["state"], "covered", "cover is on in a network that is no test: {view}");
    assert_eq!(view["networks"][0]["authorities"], 3);
    assert_eq!(view["networks"][0]["test"], false);

    let first = until(&b);
    let mut texts = Vec::new();
    while until(&b) < first + 30.0 {
        texts.push(format!("message {}", texts.len()));
        b.fog(&["chat", "send", "Ada", &texts[texts.len() - 1], "--wait"]);
    }
    assert_eq!(a.texts("Bob"), texts);

    // Ada moves to another home. What Bob writes finds her, also before he knows.
    let home = |node: &Node| network(node)["networks"][0]["home"].as_str().expect("a home").to_owned();
    let old = home(&a);
    let moved = a.fog(&["network", "home"]);
    assert!(moved["home"] != old.as_str() && home(&a) == moved["home"].as_str().expect("an id"));
    texts.push("to the old home or the new one".into());
    b.fog(&["chat", "send", "Ada", &texts[texts.len() - 1], "--wait"]);
    eventually("Bob to know the new home", || {
        let sent = b.fog(&["chat", "send", "Ada", "ping", "--wait"]);
        texts.push("ping".into());
        let paths = b.fog(&["chat", "path", sent["id"].as_str().expect("id")]);
        let hops = paths[0]["hops"].as_array().expect("hops");
        (hops[hops.len() - 1]["relay"] == moved["home"]).then_some(())
    });

    // Ada lends a mixnode: the directory lists it, and packets go over it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("bound");
    let listen = port.to_string();
    a.fog(&["network", "mixnode", "--listen", &listen, "--layer", "2", "--operator", "Ada"]);
    eventually("the mixnode to be listed and used", || {
        let mixnode = network(&a)["mixnode"].clone();
        (mixnode["state"] == "listed" && mixnode["mixed"].as_u64() > Some(10)).then_some(())
    });
    eventually("Bob to know it", || {
        let listed = network(&b)["networks"][0]["relays"].clone();
        listed.as_array().expect("relays").iter().any(|r| r["operator"] == "Ada").then_some(())
    });
    // At the end of a key period it is paid, from the rewards pool.
    let earned = eventually("pay for mixing", || {
        let earned =
            network(&a)["mixnode"]["earned"].as_str().expect("an amount").parse::<u128>().expect("a number");
        (earned > 0).then_some(earned)
    });
    // Twelve seconds at 5 FOG an hour, and half as much again at most.
    let period = 5 * 10_u128.pow(18) * 12 / 3600;
    assert!(earned >= period && earned <= 100 * period, "{earned}");
    let wallet = a.fog(&["wallet"]);
    assert!(
        wallet["entries"].as_array().expect("lines").iter().any(|e| e["memo"] == "Mixing for the network"),
        "{wallet}"
    );
    assert!(wallet["earned"].as_str().expect("an amount").parse::<u128>().expect("a number") >= earned);
    a.fog(&["network", "mixnode", "--off"]);

    // Bob is away while every key and every consensus that he knows runs out.
    let before = until(&a);
    b.kill();
    eventually("four more consensuses", || (until(&a) > before + 14.0).then_some(()));
    b.start();
    texts.push("back again".into());
    b.fog(&["chat", "send", "Ada", "back again", "--wait"]);
    assert_eq!(a.texts("Bob"), texts);

    // Cover traffic came back: the relays hold, and that is known of them.
    let cover = eventually("loops", || {
        let cover = network(&a)["cover"].clone();
        (cover["loops_back"].as_u64() > Some(3) && cover["drops"].as_u64() > Some(3)).then_some(cover)
    });
    assert_eq!(cover["profile"], "standard");
    assert!(cover["automatic"].as_bool().expect("told"));
    assert_eq!(a.fog(&["network", "cover", "off"])["profile"], "off");
    assert_eq!(network(&a)["privacy"]["state"], "mixed");
}

/// An authority's or a relay's process.
fn start(folder: &Path, what: &str, logs: &Path, options: &[&str]) -> Process {
    let name = folder.file_name().expect("a name").to_str().expect("text");
    let process =
        Process::start(Command::new(fog()).arg(what).arg("--dir").arg(folder).args(options), logs, name);
    eventually("it to listen", || process.printed().contains("listens").then_some(()));
    process
}

/// A network of nine relays and three authorities, all of them processes of their own, below `folder`.
fn processes(folder: &Path) -> (PathBuf, Vec<Option<Process>>, Vec<Option<Process>>) {
    let dir = folder.join("net");
    let new = Command::new(fog())
        .args(["mixnet", "new", "--mixnodes", "9"])
        .args(HASTE)
        .arg("--dir")
        .arg(&dir)
        .output()
        .expect("fog runs");
    assert!(new.status.success(), "{}", String::from_utf8_lossy(&new.stderr));
    let all = |what: &str, kind: &str, count: usize| -> Vec<Option<Process>> {
        (1..=count).map(|n| Some(start(&dir.join(format!("{what}-{n}")), kind, folder, &[]))).collect()
    };
    let (authorities, relays) = (all("authority", "authority", 3), all("relay", "mixnode", 9));
    (dir, authorities, relays)
}

/// Ada lives at three relays; one of them dies, and what Bob writes comes by the others.
#[test]
fn mail_arrives_while_one_of_several_homes_is_down() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (dir, _authorities, mut relays) = processes(folder.path());
    let (a, b) = (node("Ada", &dir.join("consensus")), node("Bob", &dir.join("consensus")));
    b.meet(&a, "Bob");
    a.fog(&["network", "homes", "3"]);
    let homes = eventually("three homes", || {
        let view = network(&a)["networks"][0].clone();
        let more = view["more_homes"].as_array().expect("homes").clone();
        (more.len() == 2).then(|| [vec![view["home"].clone()], more].concat())
    });
    let mut texts = Vec::new();
    let mut send = |text: &str| {
        texts.push(text.to_owned());
        let sent = b.fog(&["chat", "send", "Ada", text, "--wait"]);
        let paths = b.fog(&["chat", "path", sent["id"].as_str().expect("id")]);
        let hops = paths[0]["hops"].as_array().expect("hops").clone();
        hops[hops.len() - 1]["relay"].clone()
    };
    let mut used = Vec::new();
    eventually("Bob to send to each of them", || {
        let home = send("before");
        if !used.contains(&home) {
            used.push(home);
        }
        (used.len() == 3).then_some(())
    });
    assert!(used.iter().all(|home| homes.contains(home)), "{used:?} {homes:?}");

    // Not Bob's only one, where the acknowledgements for him arrive.
    let of_bob = network(&b)["networks"][0]["home"].clone();
    let down = homes.iter().find(|home| **home != of_bob).expect("Bob has one only");
    let number = (1..=9)
        .find(|n| {
            let file = std::fs::read(dir.join(format!("relay-{n}/relay.json"))).expect("its file");
            serde_json::from_slice::<Value>(&file).expect("JSON")["id"] == *down
        })
        .expect("the home relay");
    relays[number - 1] = None;
    for n in 0..10 {
        send(&format!("one home is down, {n}"));
    }
    assert_eq!(a.texts("Bob"), texts);
}

/// Authorities die one after the other: two of three go on, one alone cannot, and when a second one is back, all is
/// well again. A node refuses to send by a directory that ran out, and sends what waited when there is a new one.
#[test]
fn the_directory_lives_through_an_authority_and_clients_refuse_a_stale_one() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (dir, mut authorities, _relays) = processes(folder.path());
    let (a, b) = (node("Ada", &dir.join("consensus")), node("Bob", &dir.join("consensus")));
    b.meet(&a, "Bob");
    b.fog(&["chat", "send", "Ada", "with three", "--wait"]);
    authorities[0] = None;
    let then = until(&b);
    eventually("consensuses of two", || {
        let signed = network(&b)["networks"][0]["signed_by"].as_u64();
        (until(&b) > then + 8.0 && signed == Some(2)).then_some(())
    });
    b.fog(&["chat", "send", "Ada", "with two", "--wait"]);

    authorities[1] = None;
    let stale = eventually("the directory to run out", || {
        let view = network(&b);
        (view["privacy"]["state"] == "waiting").then_some(view)
    });
    assert_eq!(stale["networks"][0]["signed_by"], 2);
    let waits = b.fog(&["chat", "send", "Ada", "with one"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let message = b.messages("Ada").into_iter().find(|m| m["id"] == waits["id"]).expect("it is there");
    assert_eq!(message["status"], "pending");
    assert!(message["reason"].as_str().expect("a reason").contains("out of date"), "{message}");

    authorities[1] = Some(start(&dir.join("authority-2"), "authority", folder.path(), &[]));
    b.wait_status("Ada", "delivered");
    assert_eq!(a.texts("Bob"), ["with three", "with two", "with one"]);
}
