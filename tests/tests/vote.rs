//! Proposals and votes over three nodes, one of which learns of them only through another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Node, eventually};

#[test]
fn votes_reach_everybody_and_a_later_one_replaces_the_first() {
    let a = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let b = Node::new("Bob", &["--mean-delay-ms", "5"]);
    let c = Node::new("Cyd", &["--mean-delay-ms", "5"]);
    b.meet(&a, "Bob");
    // Cyd knows Ada alone; what Bob says reaches Cyd through Ada.
    c.meet(&a, "Cyd");
    let joined = |n: &Node| n.fog(&["dao", "list"]);
    joined(&b);
    std::thread::sleep(std::time::Duration::from_secs(2));

    let proposal = b.fog(&["dao", "propose", "Quiet nights", "--body", "No jobs from ten to seven."]);
    let id = proposal["id"].as_str().unwrap();
    assert_eq!(proposal["tally"]["total"], "30000000000000000000000", "three joiners' 10,000 FOG");
    for node in [&a, &c] {
        eventually("the proposal", || {
            node.fog(&["dao", "list"]).as_array()?.iter().any(|p| p["id"] == id).then_some(())
        });
    }
    b.fog(&["dao", "vote", id, "no"]);
    a.fog(&["dao", "vote", id, "yes"]);
    c.fog(&["dao", "vote", id, "abstain"]);
    b.fog(&["dao", "vote", id, "yes"]);
    for node in [&a, &b, &c] {
        eventually("the same count everywhere", || {
            let p = node.try_fog(&["dao", "list", id]).ok()?;
            let t = &p["tally"];
            (t["yes"] == "20000000000000000000000"
                && t["no"] == "0"
                && t["abstain"] == "10000000000000000000000"
                && p["votes"].as_array()?.len() == 3)
                .then_some(())
        });
    }
    let unknown = a.try_fog(&["dao", "vote", "ffff", "yes"]).unwrap_err();
    assert_eq!(unknown.0, 5, "{unknown:?}");
    // The rules end it: 60 s votes, quorum and approval met.
    for node in [&a, &b, &c] {
        eventually("the result", || (node.fog(&["dao", "list", id])["state"] == "passed").then_some(()));
    }
    let late = a.try_fog(&["dao", "vote", id, "no"]).unwrap_err();
    assert!(late.0 == 4 && late.1.contains("ended"), "{late:?}");
}
