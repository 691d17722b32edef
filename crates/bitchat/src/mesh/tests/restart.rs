//! A restart in any state loses nothing that was promised.

use super::net::Net;
use crate::mesh::Config;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Nodes meet, part, and are killed at any time. In the end every message has arrived and its sender knows it.
    #[test]
    fn messages_survive(
        seed in any::<u64>(),
        loss in 0_u64..20,
        steps in proptest::collection::vec((0_u8..6, 0_usize..5, 0_usize..5, 10_u64..3000), 20..60),
    ) {
        let mut net = Net::new(5, Config::native(), seed);
        net.loss = loss;
        let mut sent = Vec::new();
        for (what, a, b, wait) in steps {
            match what {
                0..=2 => net.join(a, b),
                3 => net.part(a, b),
                4 => net.restart(a),
                _ if a != b && sent.len() < 250 => {
                    let (id, bundle) = net.send(a, b, sent.len() as u8);
                    sent.push((a, b, id, bundle));
                }
                _ => {}
            }
            net.run(wait / 10 * 10);
        }
        // Everybody meets everybody in the end.
        for n in 0..5 {
            for m in 0..n {
                net.join(n, m);
            }
        }
        net.run(120_000);
        for (from, to, id, bundle) in &sent {
            prop_assert!(net.nodes[*to].has.contains(id), "{to} has not got what {from} sent");
            prop_assert!(net.nodes[*from].acknowledged.contains(bundle), "{from} does not know that {to} has got it");
        }
    }
}

/// Public history is there after a restart, and reaches somebody new.
#[test]
fn history_survives() {
    let mut net = Net::new(3, Config::native(), 8);
    net.join(0, 1);
    net.run(20_000);
    let said: Vec<_> = (0..20)
        .map(|n| {
            net.run(3000);
            net.say(0, &format!("number {n}"))
        })
        .collect();
    net.run(10_000);
    net.restart(1);
    net.run(1000);
    // The speaker is gone; who comes now knows them from what the restarted one tells.
    net.join(1, 2);
    net.run(60_000);
    let got = said.iter().filter(|id| net.nodes[2].delivered.contains(id)).count();
    assert_eq!(got, 0, "nobody can vouch for the speaker yet");
    net.join(0, 1);
    net.run(90_000);
    let got = said.iter().filter(|id| net.nodes[2].delivered.contains(id)).count();
    assert_eq!(got, 20);
    assert!(
        said.iter().all(|id| !net.nodes[1].delivered.contains(id)),
        "what was on disk is not delivered anew"
    );
}
