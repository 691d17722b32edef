//! Chat between two node processes over mixnodes that are processes of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Mixnet, Node, eventually};

fn pair(net: &Mixnet) -> (Node, Node) {
    let consensus = net.consensus.to_str().expect("a path");
    let a = Node::new("Ada", &["--consensus", consensus, "--mean-delay-ms", "20"]);
    let b = Node::new("Bob", &["--consensus", consensus, "--mean-delay-ms", "20"]);
    b.meet(&a, "Bob");
    (a, b)
}

#[test]
fn a_message_is_sent_delivered_and_read_over_three_real_mixnodes() {
    let net = Mixnet::start();
    let (a, b) = pair(&net);
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

#[test]
fn messages_arrive_though_a_mixnode_is_killed_half_way() {
    let mut net = Mixnet::start();
    let (a, b) = pair(&net);
    let texts: Vec<String> = (0..30).map(|i| format!("message {i}")).collect();
    for (i, text) in texts.iter().enumerate() {
        if i == 10 {
            net.kill_one(2);
        }
        b.fog(&["chat", "send", "Ada", text]);
    }
    eventually("all messages", || (a.messages("Bob").len() == texts.len()).then_some(()));
    let mut got = a.texts("Bob");
    got.sort_by_key(|t| t[8..].parse::<u32>().expect("a number"));
    assert_eq!(got, texts, "each once");
    eventually("all acknowledgements", || {
        b.messages("Ada").iter().all(|m| m["status"] == "delivered").then_some(())
    });
}
