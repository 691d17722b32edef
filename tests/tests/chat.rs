//! Chat between two node processes over mixnodes that are processes of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Chaos, Mixnet, Node, eventually};
use std::path::Path;

fn pair(consensus: &Path) -> (Node, Node) {
    let consensus = consensus.to_str().expect("a path");
    let a = Node::new("Ada", &["--consensus", consensus, "--mean-delay-ms", "20"]);
    let b = Node::new("Bob", &["--consensus", consensus, "--mean-delay-ms", "20"]);
    b.meet(&a, "Bob");
    (a, b)
}

#[test]
fn a_message_is_sent_delivered_and_read_over_three_real_mixnodes() {
    let net = Mixnet::start();
    let (a, b) = pair(&net.consensus);
    let sent = b.fog(&["chat", "send", "Ada", "Hello over the mix", "--wait"]);
    assert_eq!(sent["status"], "delivered");
    assert_eq!(a.texts("Bob"), ["Hello over the mix"]);
    a.fog(&["chat", "read", "Bob"]);
    b.wait_status("Ada", "read");

    // The path that it took: one relay of each layer, and exponential delays were drawn for the first two.
    let paths = b.fog(&["chat", "path", sent["id"].as_str().expect("id")]);
    let hops = paths[0]["hops"].as_array().expect("hops");
    let layers: Vec<u64> = hops.iter().map(|h| h["layer"].as_u64().expect("layer")).collect();
    assert_eq!(layers, [1, 2, 3]);
    assert!(hops[0]["delay"].as_f64() > Some(0.0) && hops[1]["delay"].as_f64() > Some(0.0));
    assert!(paths[0]["acknowledged_after"].as_f64() > Some(0.0));

    // Every relay process is a real one: without the middle layer nothing arrives.
    let mut net = net;
    let (first, second) = (net.kill_one(2), net.kill_one(2));
    b.fog(&["chat", "send", "Ada", "Held up"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(a.texts("Bob").len(), 1);
    net.start_relay(first);
    net.start_relay(second);
    b.wait_status("Ada", "delivered");
    assert_eq!(a.texts("Bob"), ["Hello over the mix", "Held up"]);
}

/// A conversation over five relays: each packet takes five different ones, also after a restart; where there are not
/// enough, the message waits and says why instead of taking fewer.
#[test]
fn a_confidential_conversation_takes_five_relays_or_waits() {
    let mut net = Mixnet::start();
    let (a, mut b) = pair(&net.consensus);
    assert_eq!(b.contacts()[0]["privacy"], "private");
    assert_eq!(b.fog(&["chat", "privacy", "Ada", "confidential"])["privacy"], "confidential");
    b.kill();
    b.start();
    let sent = b.fog(&["chat", "send", "Ada", "Between us", "--wait"]);
    let paths = b.fog(&["chat", "path", sent["id"].as_str().expect("id")]);
    let hops = paths[0]["hops"].as_array().expect("hops");
    let layers: Vec<u64> = hops.iter().map(|h| h["layer"].as_u64().expect("layer")).collect();
    assert_eq!(layers, [1, 2, 3, 2, 3]);
    assert_eq!(a.texts("Bob"), ["Between us"]);
    // Ada's node is told, and does the same.
    let mut answers = 0;
    eventually("Ada to write over five relays", || {
        let back = a.fog(&["chat", "send", "Bob", "Indeed", "--wait"]);
        answers += 1;
        let paths = a.fog(&["chat", "path", back["id"].as_str().expect("id")]);
        (paths[0]["hops"].as_array().expect("hops").len() == 5).then_some(())
    });

    // One of the two relays in the middle is gone: nothing arrives, and nothing goes over fewer relays.
    let gone = net.kill_one(2);
    b.fog(&["chat", "send", "Ada", "Held up"]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(a.texts("Bob").len(), 1 + answers);
    net.start_relay(gone);
    b.wait_status("Ada", "delivered");
    let texts = a.texts("Bob");
    assert_eq!((texts.len(), texts.first().map(String::as_str)), (2 + answers, Some("Between us")));
    assert_eq!(texts.last().map(String::as_str), Some("Held up"));
}

#[test]
fn messages_arrive_though_a_mixnode_is_killed_half_way() {
    let mut net = Mixnet::start();
    let (a, b) = pair(&net.consensus);
    let texts: Vec<String> = (0..30).map(|i| format!("message {i}")).collect();
    for (i, text) in texts.iter().enumerate() {
        if i == 10 {
            net.kill_one(2);
        }
        b.fog(&["chat", "send", "Ada", text]);
    }
    eventually("all messages", || (a.messages("Bob").len() == texts.len()).then_some(()));
    assert_eq!(a.texts("Bob"), texts, "each once, in order");
    eventually("all acknowledgements", || {
        b.messages("Ada").iter().all(|m| m["status"] == "delivered").then_some(())
    });
}

/// Every relay loses 5 % of its packets, holds them for longer, and one after the other stands still: each message
/// arrives, whole, once and in order.
#[test]
fn messages_short_and_long_arrive_over_a_network_that_makes_trouble() {
    let net = Chaos::start(&["--chaos-loss", "5", "--chaos-latency-ms", "10", "--chaos-pause-s", "4"]);
    let (a, b) = pair(&net.consensus);
    // Thirty fragments and more, each over three relays of which every one loses some.
    let long: Vec<String> = (0..3).map(|i| format!("{i}").repeat(60_000)).collect();
    let short: Vec<String> = (0..15).map(|i| format!("short {i}")).collect();
    for text in long.iter().chain(&short) {
        b.fog(&["chat", "send", "Ada", text]);
    }
    let expected: Vec<String> = long.iter().chain(&short).cloned().collect();
    eventually("all messages", || (a.messages("Bob").len() == expected.len()).then_some(()));
    assert!(a.texts("Bob") == expected, "each whole, once, and in order");
    eventually("all acknowledgements", || {
        b.messages("Ada").iter().all(|m| m["status"] == "delivered").then_some(())
    });
}

/// `fog mixnet up` leaves no relay behind when it is killed.
#[test]
fn the_relays_of_a_mixnet_end_with_it() {
    let mut net = Chaos::start(&[]);
    let file = net.consensus.with_file_name("relay-1").join("relay.json");
    let relay: serde_json::Value =
        serde_json::from_slice(&std::fs::read(file).expect("reads")).expect("JSON");
    let address = relay["listen"].as_str().expect("an address").to_owned();
    eventually("a relay to listen", || std::net::TcpStream::connect(&address).ok());
    net.process.kill();
    eventually("the relay to end", || std::net::TcpStream::connect(&address).is_err().then_some(()));
}
