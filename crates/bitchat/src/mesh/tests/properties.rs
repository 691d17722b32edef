//! What holds whatever happens.

use super::net::{Net, START, TestKeys, peer};
use crate::mesh::view::View;
use crate::mesh::{CarryRule, Config, Engine, Frame, LinkId, LinkRole, MessageId, Output, RelayRule};
use crate::packet::MessageType;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::sync::Arc;

fn once(delivered: &[MessageId]) -> bool {
    delivered.iter().collect::<BTreeSet<_>>().len() == delivered.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Over any links that lose, double, reorder and break, with either rule set: nothing is delivered twice, and no TTL
    /// grows (the net asserts that for every frame).
    #[test]
    fn nothing_is_delivered_twice_and_no_ttl_grows(
        seed in any::<u64>(),
        native in any::<bool>(),
        loss in 0_u64..30,
        steps in proptest::collection::vec((0_u8..4, 0_usize..7, 0_usize..7), 10..60),
    ) {
        let config = if native { Config::native() } else { Config::compatible() };
        let mut net = Net::new(7, config, seed);
        (net.loss, net.double) = (loss, 20);
        for (number, (what, a, b)) in steps.into_iter().enumerate() {
            match what {
                0 | 1 => net.join(a, b),
                2 => net.part(a, b),
                _ if a != b && native => drop(net.send(a, b, number as u8)),
                _ => drop(net.say(a, &format!("{number}"))),
            }
            net.run(400);
        }
        net.run(20_000);
        for node in &net.nodes {
            prop_assert!(once(&node.delivered), "{:?}", node.delivered);
        }
    }

    /// In a network that holds together, all get every public message in spite of loss, since what the flood missed is
    /// fetched.
    #[test]
    fn everybody_gets_every_public_message(seed in any::<u64>(), loss in 0_u64..25) {
        prop_assert_eq!(missed(seed, loss), []);
    }
}

/// Answers and announces are lost again and again here, and still come in time.
#[test]
fn what_was_lost_is_asked_for_again() {
    for (seed, loss) in [
        (5_817_635_928_436_732_372, 23),
        (11_355_555_555_455, 21),
        (30_488_888_888_597, 17),
        (34_844_444_444_109, 23),
    ] {
        assert_eq!(missed(seed, loss), [], "{seed}, {loss} %");
    }
}

/// Five of eight that hold together say something. Who then misses whose message, two minutes later.
fn missed(seed: u64, loss: u64) -> Vec<(usize, usize)> {
    let mut net = Net::new(8, Config::native(), seed);
    net.loss = loss;
    for n in 1..8 {
        let other = net.chance(n as u64) as usize;
        net.join(n, other);
    }
    net.run(40_000);
    let mut said = Vec::new();
    for n in 0..5 {
        net.run(2000);
        said.push(net.say(n, &format!("text {n}")));
    }
    net.run(120_000);
    let mut missed = Vec::new();
    for (n, node) in net.nodes.iter().enumerate() {
        missed.extend(
            (0..5).filter(|from| *from != n && !node.delivered.contains(&said[*from])).map(|from| (n, from)),
        );
    }
    missed
}

/// One engine, and everything that may come to it.
#[test]
fn ten_thousand_random_inputs_do_no_harm() {
    for (seed, config) in [(1, Config::native()), (2, Config::compatible()), (3, epidemic())] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut engine = Engine::new(config.clone(), peer(0), TestKeys(peer(0)), [0; 32], START);
        let (mut now, mut packets, mut frames) = (START, Vec::<Vec<u8>>::new(), Vec::<Vec<u8>>::new());
        for step in 0..10_000_u64 {
            let mut pick = |n: u64| rng.next_u64() % n;
            let (link, other) = (LinkId(pick(12)), pick(40) as usize + 1);
            let keys = TestKeys(peer(other));
            now += pick(3000);
            match pick(14) {
                0 => engine.link_up(now, LinkId(pick(12) + step % 3), LinkRole::Central, -(pick(100) as i8)),
                1 if pick(4) == 0 => engine.link_down(now, link),
                2 => {
                    let neighbours: Vec<u8> = (0..pick(5)).flat_map(|n| peer(n as usize).0).collect();
                    packets.push(keys.signed(MessageType::Announce, now, None, neighbours, pick(8) as u8));
                }
                3 => packets.push(keys.signed(
                    MessageType::Message,
                    now,
                    None,
                    vec![step as u8; 20],
                    pick(256) as u8,
                )),
                4 => {
                    let to = Some(peer(pick(5) as usize));
                    let kind = MessageType::from(pick(256) as u8);
                    packets.push(keys.signed(kind, now, to, vec![step as u8; 60], pick(9) as u8));
                }
                5 | 6 if !packets.is_empty() => {
                    let mut packet = packets[pick(packets.len() as u64) as usize].clone();
                    for _ in 0..pick(3) {
                        let at = pick(packet.len() as u64) as usize;
                        packet[at] = pick(256) as u8;
                    }
                    packet.truncate(packet.len() - pick(2) as usize * pick(packet.len() as u64) as usize);
                    engine.receive(now, link, &Arc::from(packet));
                }
                7 | 8 => {
                    let packet = packets.last().cloned().unwrap_or_default();
                    engine.receive(now, link, &Arc::from(packet));
                }
                9 if !frames.is_empty() => {
                    let mut frame = frames[pick(frames.len() as u64) as usize].clone();
                    for _ in 0..pick(4) {
                        let at = pick(frame.len() as u64) as usize;
                        frame[at] = pick(256) as u8;
                    }
                    engine.receive_control(now, link, peer(other), &frame);
                }
                10 => {
                    let bytes: Vec<u8> = (0..pick(600)).map(|_| pick(256) as u8).collect();
                    engine.receive_control(now, link, peer(other), &bytes);
                }
                11 => {
                    let to = Some(peer(other));
                    let packet = TestKeys(peer(0)).signed(
                        MessageType::NoiseEncrypted,
                        now,
                        to,
                        vec![step as u8; 50],
                        7,
                    );
                    _ = engine.carry(now, packet, crate::mesh::AckHash::of(&[step as u8; 16]), pick(1 << 40));
                }
                12 => engine.acknowledge(now, MessageId([pick(256) as u8; 16]), [pick(256) as u8; 16]),
                _ => engine.link_ready(now, link),
            }
            while let Some(output) = engine.poll() {
                if let Output::Transmit { link, frame } = output {
                    if let Frame::Control(bytes) = frame {
                        frames.push(bytes.to_vec());
                    }
                    if pick(3) > 0 {
                        engine.link_ready(now, link);
                    }
                }
            }
            frames.truncate(500);
            packets.drain(..packets.len().saturating_sub(500));
            let [links, peers, seen, history, store, own] = engine.sizes();
            assert!(links <= 64 && peers <= 2048 && seen <= 16_384 && history <= config.max_history);
            assert!(own <= config.max_own && store <= config.max_own + config.max_carried);
        }
        assert!(engine.counters().packets > 1000 && engine.counters().forged > 50, "{:?}", engine.counters());
    }
}

fn epidemic() -> Config {
    Config { carry: CarryRule::Epidemic, relay: RelayRule::Flood, limits: None, ..Config::native() }
}

/// A neighbour that floods is heard a little, and does not keep the others from being heard.
#[test]
fn a_flood_does_not_starve_the_others() {
    let mut net = Net::new(4, Config::native(), 5);
    // 0 floods 1, behind which are 2 and 3.
    net.join(0, 1);
    net.join(1, 2);
    net.join(2, 3);
    net.run(40_000);
    let link = LinkId(1);
    let mut said = Vec::new();
    let mut flood = BTreeSet::new();
    for step in 0..2000_u32 {
        let now = net.now;
        let packet =
            net.nodes[0].keys.signed(MessageType::Message, now, None, step.to_be_bytes().to_vec(), 7);
        flood.insert(MessageId::of_packet(&packet).unwrap());
        net.inject(1, link, &packet);
        if step % 200 == 100 {
            said.push(net.say(3, &format!("{step}")));
        }
        net.run(10);
    }
    net.run(20_000);
    let of_flood = |n: usize| net.nodes[n].delivered.iter().filter(|id| flood.contains(*id)).count();
    for n in 1..3 {
        assert!(said.iter().all(|id| net.nodes[n].delivered.contains(id)), "{n} did not hear everything");
        assert!((1..=60).contains(&of_flood(n)), "{} of the flood at {n}", of_flood(n));
    }
    assert!(net.nodes[1].engine.counters().limited > 1000);
}

/// Bundles of one sender take a part of the room only, and those of others stay.
#[test]
fn a_depositor_cannot_fill_the_store() {
    let config = Config { max_carried: 40, ..Config::native() };
    let mut net = Net::new(4, config, 6);
    net.join(0, 1);
    net.run(15_000);
    let (_, first) = net.send(0, 3, 0);
    net.run(5000);
    net.part(0, 1);
    net.join(2, 1);
    net.run(15_000);
    for number in 1..100 {
        net.send(2, 3, number);
        net.run(200);
    }
    net.run(30_000);
    let [.., store, _] = net.nodes[1].engine.sizes();
    assert!((2..=11).contains(&store), "{store}");
    assert!(net.nodes[1].engine.counters().evicted > 50);
    // The first one is still there for whom it is.
    net.part(2, 1);
    net.join(1, 3);
    net.run(30_000);
    assert!(net.nodes[3].has.len() >= 2, "{}", net.nodes[3].has.len());
    net.join(0, 1);
    net.run(30_000);
    assert!(net.nodes[0].acknowledged.contains(&first));
}

/// What a relay sends on differs from what it got in the TTL alone.
#[test]
fn relays_keep_the_bytes() {
    let mut net = Net::new(3, Config::native(), 7);
    net.join(0, 1);
    net.join(1, 2);
    net.run(30_000);
    let id = net.say(0, "as it was");
    net.run(5000);
    assert!(net.nodes[2].delivered.contains(&id));
    let now = net.now;
    let mut odd = net.nodes[0].keys.signed(MessageType::Unknown(0xe7), now, None, vec![9; 30], 5);
    odd.extend_from_slice(&[0; 3]);
    let view = View::parse(&odd).map(|v| v.ttl);
    assert_eq!(view, Some(5));
}
