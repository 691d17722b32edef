//! The rules of the apps, case by case.

use super::net::{Net, START, TestKeys, peer};
use crate::PeerId;
use crate::mesh::view::View;
use crate::mesh::{Config, Engine, Frame, LinkId, LinkRole, Millis, Output};
use crate::packet::{MessageType, Packet};
use std::sync::Arc;

/// An engine with so many links, each bound to a peer.
fn engine(links: usize) -> Engine<TestKeys> {
    let mut engine = Engine::new(Config::compatible(), peer(0), TestKeys(peer(0)), [7; 32], START);
    for n in 1..=links {
        let link = LinkId(n as u64);
        engine.link_up(START, link, LinkRole::Central, -70);
        let announce = TestKeys(peer(n)).announce_at(START);
        engine.receive(START, link, &announce.into());
    }
    // Until all announces have been relayed.
    for now in START..START + 2000 {
        engine.tick(now);
        sends(&mut engine, now);
    }
    engine
}

impl TestKeys {
    fn announce_at(&self, now: Millis) -> Vec<u8> {
        self.signed(MessageType::Announce, now, None, Vec::new(), 7)
    }
}

/// What it puts out: link, TTL.
fn sends(engine: &mut Engine<TestKeys>, now: Millis) -> Vec<(LinkId, u8, Arc<[u8]>)> {
    let mut sent = Vec::new();
    while let Some(output) = engine.poll() {
        if let Output::Transmit { link, frame: Frame::Packet(packet) } = output {
            engine.link_ready(now, link);
            sent.push((link, View::parse(&packet).unwrap().ttl, packet));
        }
    }
    sent
}

/// Gives a packet to the first link and returns what goes out, when it began to, and with which TTL.
fn relayed(engine: &mut Engine<TestKeys>, packet: &[u8]) -> (Vec<LinkId>, Option<Millis>, Option<u8>) {
    let begin = START + 3000;
    engine.receive(begin, LinkId(1), &packet.into());
    let id = View::parse(packet).unwrap().id();
    let (mut links, mut at, mut ttl) = (Vec::new(), None, None);
    for now in begin..begin + 400 {
        engine.tick(now);
        for (link, t, out) in sends(engine, now) {
            if View::parse(&out).unwrap().id() == id {
                assert_eq!(out[3..], packet[3..], "only the TTL changes");
                links.push(link);
                at.get_or_insert(now - begin);
                ttl = Some(t);
            }
        }
    }
    (links, at, ttl)
}

fn public(ttl: u8) -> Vec<u8> {
    TestKeys(peer(1)).signed(MessageType::Message, START + 3000, None, b"hello".to_vec(), ttl)
}

fn directed(kind: MessageType, to: PeerId, ttl: u8) -> Vec<u8> {
    let mut packet = Packet::new(kind, peer(1), START + 3000, vec![5; 40]);
    (packet.recipient, packet.ttl) = (Some(to), ttl);
    packet.encode().unwrap()
}

#[test]
fn public_messages_are_clamped_and_delayed_by_the_number_of_links() {
    // Links, TTL that goes on from 7, delay, links that it goes over (the part of the others, or all of two).
    for (links, ttl, delay, fan_out) in
        [(2, 6, 10..=40, 1), (5, 5, 60..=150, 3), (8, 4, 80..=180, 4), (12, 4, 100..=220, 5)]
    {
        let (over, at, went) = relayed(&mut engine(links), &public(7));
        assert_eq!(went, Some(ttl), "{links} links");
        assert!(delay.contains(&at.unwrap()), "{links} links: {at:?} ms");
        assert_eq!(over.len(), fan_out, "{links} links");
        assert!(!over.contains(&LinkId(1)), "not back to where it came from");
    }
}

#[test]
fn the_last_hop_is_not_relayed_and_a_duplicate_cancels() {
    assert_eq!(relayed(&mut engine(4), &public(1)).2, None);
    let mut engine = engine(4);
    let packet: Arc<[u8]> = public(7).into();
    engine.receive(START + 3000, LinkId(1), &packet);
    engine.receive(START + 3005, LinkId(2), &packet);
    engine.tick(START + 4000);
    let id = View::parse(&packet).unwrap().id();
    assert!(sends(&mut engine, START + 4000).iter().all(|(_, _, p)| View::parse(p).unwrap().id() != id));
}

#[test]
fn a_packet_for_a_neighbour_goes_there_alone_and_others_go_everywhere() {
    let (over, _, ttl) = relayed(&mut engine(6), &directed(MessageType::NoiseEncrypted, peer(4), 7));
    assert_eq!((over, ttl), (vec![LinkId(4)], Some(6)));
    let (over, at, ttl) = relayed(&mut engine(6), &directed(MessageType::NoiseHandshake, peer(99), 7));
    assert_eq!((over.len(), ttl), (5, Some(6)), "no clamp for what is directed");
    assert!((10..=35).contains(&at.unwrap()));
    let (over, _, _) = relayed(&mut engine(6), &directed(MessageType::NoiseEncrypted, peer(0), 7));
    assert!(over.is_empty(), "what is for this node goes no further");
}

#[test]
fn a_route_is_followed() {
    let mut packet = Packet::new(MessageType::NoiseEncrypted, peer(1), START + 3000, vec![5; 40]);
    packet.recipient = Some(peer(99));
    packet.route = Some(vec![peer(0), peer(3), peer(50)]);
    let bytes = packet.encode().unwrap();
    let (over, _, ttl) = relayed(&mut engine(6), &bytes);
    assert_eq!((over, ttl), (vec![LinkId(3)], Some(6)));
    // The next hop is gone: flooded.
    packet.route = Some(vec![peer(0), peer(77)]);
    let (over, _, _) = relayed(&mut engine(6), &packet.encode().unwrap());
    assert_eq!(over.len(), 5);
}

#[test]
fn unknown_types_are_relayed_and_sync_requests_are_not() {
    let odd = TestKeys(peer(1)).signed(MessageType::Unknown(0xe9), START + 3000, None, vec![1; 20], 7);
    assert_eq!(relayed(&mut engine(2), &odd).2, Some(6));
    let request = TestKeys(peer(1)).signed(MessageType::RequestSync, START + 3000, None, vec![1; 20], 7);
    assert_eq!(relayed(&mut engine(2), &request).2, None);
}

#[test]
fn what_does_not_hold_is_dropped_and_counted() {
    let mut engine = engine(3);
    let now = START + 3000;
    let mut forged = public(7);
    *forged.last_mut().unwrap() ^= 1;
    let stranger = TestKeys(peer(60)).signed(MessageType::Message, now, None, b"x".to_vec(), 7);
    let old = TestKeys(peer(1)).signed(MessageType::Message, now - 121_000, None, b"x".to_vec(), 7);
    let unasked = TestKeys(peer(1)).signed(MessageType::Message, now, None, b"y".to_vec(), 0);
    let before = engine.counters().delivered;
    for packet in [forged, stranger, old, unasked] {
        engine.receive(now, LinkId(1), &packet.into());
    }
    let c = engine.counters();
    assert_eq!((c.forged, c.unknown, c.stale, c.unasked), (1, 1, 1, 1));
    assert_eq!(c.delivered, before);
}

#[test]
fn a_message_for_a_phone_waits_in_the_outbox_until_it_is_there() {
    let mut net = Net::new(2, Config::compatible(), 3);
    let now = net.now;
    net.nodes[0].engine.wait_for(now, 42, peer(1), 3_600_000).unwrap();
    assert!(!asks(&mut net.nodes[0].engine), "nobody there");
    net.nodes[0].engine.link_up(now, LinkId(9), LinkRole::Central, -60);
    let announce: Arc<[u8]> = TestKeys(peer(1)).announce_at(now).into();
    net.nodes[0].engine.receive(now + 10, LinkId(9), &announce);
    assert!(asks(&mut net.nodes[0].engine));
    net.nodes[0].engine.settled(now + 20, 42);
    net.nodes[0].engine.tick(now + 100_000);
    assert!(!asks(&mut net.nodes[0].engine));
}

fn asks(engine: &mut Engine<TestKeys>) -> bool {
    std::iter::from_fn(|| engine.poll()).filter(|o| matches!(o, Output::SendAgain { id: 42, .. })).count() > 0
}
