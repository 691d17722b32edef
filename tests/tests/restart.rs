//! `kill -9` at any time: what was acknowledged is there again, what was under way goes on, nothing doubles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Node, eventually, wordcount};

#[test]
fn messages_survive_kills_of_both_sides() {
    let mut a = Node::new("Ada", &[]);
    let mut b = Node::new("Bob", &[]);
    b.meet(&a, "Bob");
    let (id_a, id_b) = (b.contacts()[0]["id"].clone(), a.contacts()[0]["id"].clone());
    let texts: Vec<String> = (0..24).map(|i| format!("m{i}")).collect();
    for (i, text) in texts.iter().enumerate() {
        b.fog(&["chat", "send", "Ada", text]);
        // A runs the network, too: with it, relays, queues and both links are gone.
        if i % 8 == 3 {
            a.kill();
            a.start();
        }
        if i % 8 == 7 {
            b.kill();
            b.start();
        }
    }
    eventually("all messages", || (a.messages("Bob").len() >= texts.len()).then_some(()));
    eventually("all acknowledgements", || {
        b.messages("Ada").iter().all(|m| m["status"] == "delivered").then_some(())
    });
    let mut got = a.texts("Bob");
    got.sort_by_key(|t| t[1..].parse::<u32>().expect("a number"));
    assert_eq!(got, texts, "each once");
    assert_eq!((b.contacts()[0]["id"].clone(), a.contacts()[0]["id"].clone()), (id_a, id_b), "same people");
}

#[test]
fn a_job_goes_on_after_kills_and_is_paid_once() {
    let mut a = Node::new("Ada", &[]);
    let mut b = Node::new("Bob", &[]);
    b.meet(&a, "Bob");
    let text = b.dir.join("text");
    wordcount::write_text(&text, 1_200_000);
    let module = wordcount::module();
    let job =
        b.fog(&["job", "submit", "--wasm", module.to_str().unwrap(), "--input", text.to_str().unwrap()]);
    let id = job["id"].as_str().expect("id").to_string();
    // While the data travels: the worker dies, then the submitter.
    eventually("data to move", || {
        (a.try_fog(&["job", "status", &id]).ok()?["moved_bytes"].as_u64()? > 0).then_some(())
    });
    a.kill();
    a.start();
    b.kill();
    b.start();
    // The device waits for its owner's word when somebody is logged in; that is not what this is about.
    a.fog(&["harvest", "now"]);
    let done = b.fog(&["job", "wait", &id]);
    assert_eq!(done["state"], "completed");
    eventually("the worker to be paid", || {
        (a.fog(&["job", "status", &id])["state"] == "completed").then_some(())
    });
    let (paid, earned) = (b.fog(&["wallet"]), a.fog(&["wallet"]));
    a.kill();
    b.kill();
    a.start();
    b.start();
    assert_eq!(b.fog(&["wallet"]), paid);
    assert_eq!(a.fog(&["wallet"]), earned);
    assert_eq!(paid["spent"], done["price"]);
    assert_eq!(earned["earned"], done["price"]);
    assert_eq!(b.fog(&["job", "status", &id])["state"], "completed");
}
