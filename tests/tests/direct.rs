//! The public level: a direct connection between two people who both chose it, and the mixnet when there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Node, eventually};
use serde_json::Value;

/// Over how many relays each packet of a message went.
fn hops(node: &Node, sent: &Value) -> Vec<usize> {
    let paths = node.fog(&["chat", "path", sent["id"].as_str().expect("id")]);
    let paths = paths.as_array().expect("paths").clone();
    paths.iter().map(|p| p["hops"].as_array().expect("hops").len()).collect()
}

#[test]
fn two_who_both_chose_it_write_to_each_other_directly_and_nothing_is_lost_when_that_ends() {
    let (mut a, b) =
        (Node::new("Ada", &["--mean-delay-ms", "5"]), Node::new("Bob", &["--mean-delay-ms", "5"]));
    b.meet(&a, "Bob");
    let listens = a.fog(&["network", "direct", "--listen", "127.0.0.1:0"]);
    assert!(listens["address"].as_str().expect("an address").starts_with("127.0.0.1:"), "{listens}");
    let mut texts = Vec::new();
    let mut send = |text: &str| {
        texts.push(text.to_owned());
        let sent = b.fog(&["chat", "send", "Ada", text, "--wait"]);
        (hops(&b, &sent), texts.clone())
    };

    // One side's choice is not enough, and it is not taken for the other's.
    b.fog(&["chat", "privacy", "Ada", "public"]);
    assert_eq!(send("one side").0, [3]);
    a.fog(&["chat", "privacy", "Bob", "public"]);
    eventually("a direct connection", || send("both sides").0.iter().all(|n| *n == 0).then_some(()));
    // A long one is whole, and goes directly, too.
    let long = "x".repeat(60_000);
    let (direct, _) = send(&long);
    assert!(direct.len() > 10 && direct.iter().all(|n| *n == 0), "{direct:?}");

    // Killed and started anew, Ada listens at another port, tells Bob, and they are connected again.
    a.kill();
    a.start();
    send("after a restart");
    eventually("a direct connection again", || send("again").0.iter().all(|n| *n == 0).then_some(()));

    // No more connections: the mixnet carries on.
    a.fog(&["chat", "privacy", "Bob", "private"]);
    let (_, expected) = {
        eventually("the mixnet", || send("relays again").0.iter().all(|n| *n == 3).then_some(()));
        send("the end")
    };
    assert_eq!(a.texts("Bob"), expected);
    let (_, refused) = a.try_fog(&["network", "direct", "--listen", "here"]).unwrap_err();
    assert!(refused.contains("no address with a port"), "{refused}");
}
