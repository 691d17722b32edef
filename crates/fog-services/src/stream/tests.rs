//! Two sides, a network that delays, loses, repeats and reorders, and a clock that is a number.

use super::frame::{self, Frame};
use super::*;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

const MAX: usize = 1_866;
/// No run may take longer.
const DEADLINE: Duration = Duration::from_secs(3600);

struct Network {
    rng: StdRng,
    loss: f64,
    repeat: f64,
    /// Datagrams under way: when they arrive, a number that makes them differ, to whom.
    under_way: BTreeMap<(Instant, u64), (Side, Vec<u8>)>,
    sent: u64,
    /// Mean delay, and the least.
    delay: (f64, f64),
}

impl Network {
    fn new(seed: u64, loss: f64, repeat: f64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            loss,
            repeat,
            under_way: BTreeMap::new(),
            sent: 0,
            delay: (0.5, 0.2),
        }
    }

    fn send(&mut self, now: Instant, to: Side, datagram: &[u8]) {
        assert!(datagram.len() <= MAX);
        let copies = 1 + usize::from(self.rng.random_bool(self.repeat));
        for _ in 0..copies {
            self.sent += 1;
            if self.rng.random_bool(self.loss) {
                continue;
            }
            let uniform: f64 = self.rng.random();
            let delay = self.delay.1 - (self.delay.0 - self.delay.1) * (1.0 - uniform).ln();
            let at = now + Duration::from_secs_f64(delay.min(5.0));
            self.under_way.insert((at, self.sent), (to, datagram.to_vec()));
        }
    }
}

/// What an application does with one stream: writes these bytes, ends, and keeps what it reads.
#[derive(Default)]
struct App {
    to_write: Vec<u8>,
    written: usize,
    finish_sent: bool,
    got: Vec<u8>,
    got_end: bool,
    closed: Option<Option<ResetCode>>,
}

impl App {
    fn new(bytes: Vec<u8>) -> Self {
        Self { to_write: bytes, ..Self::default() }
    }

    fn pump(&mut self, mux: &mut Mux, id: StreamId) {
        if self.finish_sent || self.closed.is_some() {
            return;
        }
        self.written += mux.write(id, &self.to_write[self.written..]).expect("an open stream");
        if self.written == self.to_write.len() {
            mux.finish(id).expect("an open stream");
            self.finish_sent = true;
        }
    }
}

struct World {
    start: Instant,
    now: Instant,
    client: Mux,
    service: Mux,
    network: Network,
    client_apps: HashMap<StreamId, App>,
    service_apps: HashMap<StreamId, App>,
    /// What the service answers on each port.
    answers: HashMap<u16, Vec<u8>>,
    ended: Vec<(Side, End)>,
    refused: Vec<(StreamId, Refusal)>,
    peak: usize,
}

impl World {
    fn new(network: Network, config: &Config) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            client: Mux::new(Side::Client, MAX, config.clone(), now),
            service: Mux::new(Side::Service, MAX, config.clone(), now),
            network,
            client_apps: HashMap::new(),
            service_apps: HashMap::new(),
            answers: HashMap::new(),
            ended: Vec::new(),
            refused: Vec::new(),
            peak: 0,
        }
    }

    /// Opens a stream that sends `up` and is answered with `down`.
    fn exchange(&mut self, port: u16, up: Vec<u8>, down: Vec<u8>) -> StreamId {
        self.answers.insert(port, down);
        let id = self.client.open(Target::Service { port }).expect("opens");
        let mut app = App::new(up);
        app.pump(&mut self.client, id);
        self.client_apps.insert(id, app);
        id
    }

    fn handle(&mut self, side: Side) {
        let (mux, apps) = match side {
            Side::Client => (&mut self.client, &mut self.client_apps),
            Side::Service => (&mut self.service, &mut self.service_apps),
        };
        while let Some(event) = mux.poll_event() {
            match event {
                Event::Incoming(id, Target::Service { port }) => match self.answers.get(&port) {
                    // It may be broken off already.
                    Some(_) if mux.accept(id).is_err() => {}
                    Some(bytes) => {
                        let mut app = App::new(bytes.clone());
                        app.pump(mux, id);
                        apps.insert(id, app);
                    }
                    None => mux.refuse(id, Refusal::NotAllowed).expect("pending"),
                },
                Event::Incoming(id, Target::Connect { .. }) => {
                    mux.refuse(id, Refusal::HostUnreachable).expect("pending");
                }
                Event::Opened(_) => {}
                Event::Refused(id, why) => self.refused.push((id, why)),
                Event::Readable(id) => {
                    let app = apps.get_mut(&id).expect("known");
                    let read = mux.read(id, &mut app.got).expect("open");
                    assert!(read.bytes > 0 || read.finished, "told of nothing");
                    assert!(!app.got_end, "bytes after the end");
                    app.got_end = read.finished;
                }
                Event::Writable(id) => apps.get_mut(&id).expect("known").pump(mux, id),
                Event::Closed(id, why) => {
                    assert_eq!(apps.get_mut(&id).expect("known").closed.replace(why), None);
                }
                Event::Ended(end) => self.ended.push((side, end)),
            }
        }
        self.peak = self.peak.max(mux.held().0);
    }

    fn transmit(&mut self, side: Side) {
        let (mux, to) = match side {
            Side::Client => (&mut self.client, Side::Service),
            Side::Service => (&mut self.service, Side::Client),
        };
        let mut burst = 0;
        while let Some(datagram) = mux.poll_transmit(self.now) {
            burst += 1;
            assert!(burst < 1000, "it never stops sending");
            self.network.send(self.now, to, &datagram);
        }
        if let Some(at) = mux.next_timeout() {
            assert!(at > self.now, "a timer in the past would spin");
        }
    }

    /// Runs until `until` or until nothing can happen any more; true if `until` was reached.
    fn run(&mut self, mut until: impl FnMut(&Self) -> bool) -> bool {
        let mut steps = 0u32;
        loop {
            for side in [Side::Client, Side::Service] {
                self.handle(side);
                self.transmit(side);
                self.handle(side);
            }
            if until(self) {
                return true;
            }
            let timers = [self.client.next_timeout(), self.service.next_timeout()];
            let arrival = self.network.under_way.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.into_iter().flatten().chain(arrival).min() else { return false };
            self.now = next;
            steps += 1;
            assert!(self.now - self.start < DEADLINE && steps < 1_000_000, "it hangs");
            while let Some(entry) = self.network.under_way.first_entry()
                && entry.key().0 <= self.now
            {
                let (to, datagram) = entry.remove();
                match to {
                    Side::Client => self.client.receive(self.now, &datagram),
                    Side::Service => self.service.receive(self.now, &datagram),
                }
            }
        }
    }

    fn all_closed(&self) -> bool {
        let closed = |apps: &HashMap<StreamId, App>| apps.values().all(|a| a.closed == Some(None));
        closed(&self.client_apps)
            && closed(&self.service_apps)
            && self.service_apps.len() + self.refused.len() >= self.client_apps.len()
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..len).map(|_| rng.random()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any streams arrive whole and in order, in both directions, whatever the network does; and then both sides
    /// forget them.
    #[test]
    fn everything_arrives_in_order(
        seed in any::<u64>(), loss in 0.0..0.2f64, repeat in 0.0..0.2f64, fixed in any::<bool>(),
        lens in proptest::collection::vec((0usize..120_000, 0usize..120_000), 1..5)
    ) {
        let congestion = if fixed { Congestion::Fixed(64) } else { Config::default().congestion };
        let mut world = World::new(Network::new(seed, loss, repeat), &Config { congestion, ..Config::default() });
        for (port, (up, down)) in lens.iter().enumerate() {
            world.exchange(port as u16, bytes(seed ^ 1, *up), bytes(seed ^ 2, *down));
        }
        prop_assert!(world.run(World::all_closed), "after {:?}: {:?}", world.elapsed(), world.ended);
        for (id, (up, down)) in lens.iter().enumerate() {
            let id = id as StreamId;
            prop_assert!(world.client_apps[&id].got == bytes(seed ^ 2, *down));
            prop_assert!(world.service_apps[&id].got == bytes(seed ^ 1, *up));
            prop_assert!(world.client_apps[&id].got_end && world.service_apps[&id].got_end);
        }
        prop_assert_eq!((world.client.streams(), world.service.streams()), (0, 0));
        prop_assert_eq!((world.client.held().0, world.service.held().0), (0, 0));
        // Whatever happens then: the session ends by itself.
        prop_assert!(!world.run(|_| false));
        prop_assert_eq!(world.ended.len(), 2);
        prop_assert!(world.ended.iter().all(|(_, end)| *end == End::Silence));
    }

    /// Breaking streams off at any time leaves nothing behind.
    #[test]
    fn resets_leave_nothing_behind(
        seed in any::<u64>(), loss in 0.0..0.2f64, resets in proptest::collection::vec((0u64..20_000, any::<bool>()), 1..6)
    ) {
        let mut world = World::new(Network::new(seed, loss, 0.1), &Config::default());
        let mut left: Vec<_> = resets.iter().enumerate().map(|(n, (at, by_client))| {
            let id = world.exchange(n as u16, bytes(1, 100_000), bytes(2, 100_000));
            (id, Duration::from_millis(*at), *by_client)
        }).collect();
        while let Some((id, at, by_client)) = left.pop() {
            world.run(|w| w.elapsed() >= at || w.all_closed());
            let (mux, apps) = if by_client {
                (&mut world.client, &mut world.client_apps)
            } else {
                (&mut world.service, &mut world.service_apps)
            };
            if mux.reset(id, ResetCode::Cancelled).is_ok() {
                apps.entry(id).or_default().closed = Some(None);
            }
        }
        prop_assert!(world.run(|w| w.client.streams() + w.service.streams() == 0), "{:?}", world.ended);
    }

    /// An authenticated but hostile other side: nothing panics, and the memory stays within its bounds.
    #[test]
    fn any_datagrams_do_no_harm(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 8..80), 1..20),
        frames in proptest::collection::vec((0u8..9, 0u32..3, 0u64..100_000, 0usize..1400, any::<bool>()), 1..60),
        client in any::<bool>()
    ) {
        let now = Instant::now();
        let side = if client { Side::Client } else { Side::Service };
        let mut mux = Mux::new(side, MAX, Config::default(), now);
        if client {
            for port in 0..2 {
                mux.open(Target::Service { port }).expect("opens");
            }
        }
        while mux.poll_transmit(now).is_some() {}
        for (n, (kind, id, offset, len, flag)) in frames.into_iter().enumerate() {
            let content = vec![7; len];
            let frame = match kind {
                0 => Frame::Ack { highest: offset % 4, bitmap: &content[..len % 64] },
                1 => Frame::Open { id, target: Target::Service { port: 1 } },
                2 => Frame::Accept { id },
                3 => Frame::Refuse { id, why: Refusal::Busy },
                4 => Frame::Window { id, limit: offset },
                5 => Frame::Reset { id, why: ResetCode::Broken },
                6 => Frame::Ping,
                _ => Frame::Data { id, last: flag, offset, bytes: &content },
            };
            let mut datagram = (n as u64).to_be_bytes().to_vec();
            frame.write(&mut datagram);
            mux.receive(now, &datagram);
            while mux.poll_transmit(now).is_some() {}
            prop_assert!(mux.held().0 <= 3 * INITIAL_WINDOW as usize);
            if flag {
                while let Some(event) = mux.poll_event() {
                    // It may be broken off already.
                    if let Event::Incoming(id, _) = event
                        && let Err(e) = mux.accept(id)
                    {
                        prop_assert_eq!(e, StreamError::Unknown);
                    }
                }
            }
        }
        for datagram in datagrams {
            mux.receive(now, &datagram);
            while mux.poll_transmit(now).is_some() {}
        }
    }
}

/// A peer that never waits for the window is cut off, and never makes us hold more than the window.
#[test]
fn who_ignores_the_window_is_cut_off() {
    let now = Instant::now();
    let mut mux = Mux::new(Side::Service, MAX, Config::default(), now);
    let content = [7; 1400];
    let mut number = 0u64;
    let mut send = |mux: &mut Mux, frame: &Frame<'_>| {
        let mut datagram = number.to_be_bytes().to_vec();
        number += 1;
        frame.write(&mut datagram);
        mux.receive(now, &datagram);
        while mux.poll_transmit(now).is_some() {}
    };
    send(&mut mux, &Frame::Open { id: 0, target: Target::Service { port: 1 } });
    assert_eq!(mux.poll_event(), Some(Event::Incoming(0, Target::Service { port: 1 })));
    mux.accept(0).expect("pending");
    let mut offset = 0;
    while !mux.is_ended() {
        send(&mut mux, &Frame::Data { id: 0, last: false, offset, bytes: &content });
        offset += content.len() as u64;
        assert!(mux.held().0 <= INITIAL_WINDOW as usize);
        assert!(offset < 2 * INITIAL_WINDOW, "nobody stopped it");
    }
    assert_eq!(mux.poll_event(), Some(Event::Ended(End::Violation)));
    assert_eq!(mux.held().0, 0);
}

/// More streams, ids and events than there may be: put off, never kept.
#[test]
fn a_flood_of_streams_is_put_off() {
    let now = Instant::now();
    for kind in 0..3 {
        let mut mux = Mux::new(Side::Service, MAX, Config::default(), now);
        for n in 0..5000u32 {
            let mut datagram = u64::from(n).to_be_bytes().to_vec();
            let id = if kind == 0 { n } else { kind * n };
            Frame::Open { id, target: Target::Service { port: 1 } }.write(&mut datagram);
            if kind > 0 {
                Frame::Reset { id, why: ResetCode::Cancelled }.write(&mut datagram);
            }
            mux.receive(now, &datagram);
            while mux.poll_transmit(now).is_some() {}
        }
        assert!(!mux.is_ended());
        assert!(mux.streams() <= MAX_LINGERING && mux.held().1 < 1000, "{:?}", mux.held());
    }
}

/// What there is no room for is not acknowledged, so it comes again and is taken then.
#[test]
fn what_is_put_off_comes_again() {
    let now = Instant::now();
    let mut mux = Mux::new(Side::Service, MAX, Config::default(), now);
    let mut number = 0u64;
    let mut receive = |mux: &mut Mux, frame: &Frame<'_>| {
        let mut datagram = number.to_be_bytes().to_vec();
        number += 1;
        frame.write(&mut datagram);
        mux.receive(now, &datagram);
    };
    let open = |id| Frame::Open { id, target: Target::Service { port: 1 } };
    for id in 0..MAX_LINGERING as u32 {
        receive(&mut mux, &open(id));
    }
    let ack = mux.poll_transmit(now).expect("acknowledges the opened");
    assert_eq!(mux.poll_transmit(now + ACK_DELAY), None);
    receive(&mut mux, &open(200));
    assert_eq!(mux.poll_transmit(now + ACK_DELAY), None, "acknowledges what it did not take");
    assert_eq!(mux.streams(), MAX_LINGERING);

    while mux.poll_event().is_some() {}
    mux.reset(0, ResetCode::Cancelled).expect("open");
    let reset = frame::decode(&mux.poll_transmit(now).expect("tells it")).expect("well-formed").0;
    assert!(reset > frame::decode(&ack).expect("well-formed").0);
    receive(&mut mux, &Frame::Ack { highest: reset, bitmap: &[] });
    receive(&mut mux, &open(200));
    assert_eq!(mux.poll_event(), Some(Event::Incoming(200, Target::Service { port: 1 })));
    assert!(mux.poll_transmit(now + ACK_DELAY).is_some());
}

#[test]
fn what_breaks_the_protocol_ends_the_session() {
    let now = Instant::now();
    let violate = |side, frame: &Frame<'_>| {
        let mut mux = Mux::new(side, MAX, Config::default(), now);
        let mut datagram = 0u64.to_be_bytes().to_vec();
        frame.write(&mut datagram);
        mux.receive(now, &datagram);
        let answer = mux.poll_transmit(now);
        let told = answer.as_deref().and_then(frame::decode).map(|(_, f)| f)
            == Some(vec![Frame::Close { why: EndCode::Violation }]);
        mux.poll_event() == Some(Event::Ended(End::Violation)) && told && mux.next_timeout().is_none()
    };
    let open = Frame::Open { id: 0, target: Target::Service { port: 1 } };
    assert!(violate(Side::Client, &open), "a service opens no streams");
    assert!(!violate(Side::Service, &open));
    assert!(violate(Side::Service, &Frame::Accept { id: 0 }));
    assert!(violate(Side::Client, &Frame::Accept { id: 0 }));
    assert!(violate(Side::Client, &Frame::Data { id: 0, last: false, offset: 0, bytes: b"" }));
    assert!(violate(Side::Client, &Frame::Ack { highest: 0, bitmap: &[] }), "nothing was sent");
    let mut mux = Mux::new(Side::Client, MAX, Config::default(), now);
    mux.receive(now, b"short");
    assert_eq!(mux.poll_event(), Some(Event::Ended(End::Violation)));
}

#[test]
fn refusals_and_bad_targets_are_told() {
    let mut world = World::new(Network::new(5, 0.1, 0.1), &Config::default());
    let a = world.client.open(Target::Service { port: 99 }).expect("opens");
    let b = world.client.open(Target::Connect { host: "example.org".into(), port: 80 }).expect("opens");
    assert_eq!(world.client.write(a, b"too early").expect("may be written to"), 9);
    assert_eq!(world.client.open(Target::Connect { host: "a b".into(), port: 80 }), Err(StreamError::Target));
    assert_eq!(world.service.open(Target::Service { port: 1 }), Err(StreamError::State));
    assert!(world.run(|w| w.refused.len() == 2 && w.service.streams() == 0));
    world.refused.sort_by_key(|(id, _)| *id);
    assert_eq!(world.refused, [(a, Refusal::NotAllowed), (b, Refusal::HostUnreachable)]);
    assert_eq!(world.client.write(a, b"x"), Err(StreamError::Unknown));
}

#[test]
fn sixty_four_streams_and_no_more() {
    let mut world = World::new(Network::new(6, 0.05, 0.05), &Config::default());
    for port in 0..MAX_STREAMS as u16 {
        world.exchange(port, bytes(1, 3000), bytes(2, 3000));
    }
    assert_eq!(world.client.open(Target::Service { port: 1 }), Err(StreamError::TooMany));
    assert!(world.run(World::all_closed));
    assert!(world.client.open(Target::Service { port: 1 }).is_ok());
}

/// One direction ends, the other goes on.
#[test]
fn a_stream_may_be_half_closed() {
    let mut world = World::new(Network::new(7, 0.1, 0.0), &Config::default());
    let id = world.exchange(1, Vec::new(), bytes(2, 300_000));
    assert!(world.run(|w| w.service_apps.get(&id).is_some_and(|a| a.got_end)));
    assert!(!world.client_apps[&id].got_end);
    assert!(world.run(World::all_closed));
    assert_eq!(world.client_apps[&id].got.len(), 300_000);
}

/// The application that does not read holds its sender back.
#[test]
fn who_does_not_read_holds_the_sender_back() {
    let now = Instant::now();
    let mut client = Mux::new(Side::Client, MAX, Config::default(), now);
    let mut service = Mux::new(Side::Service, MAX, Config::default(), now);
    let id = client.open(Target::Service { port: 1 }).expect("opens");
    let mut left = 1_000_000;
    for second in 0..60 {
        let now = now + Duration::from_secs(second);
        left -= client.write(id, &vec![7; left]).expect("open");
        while let Some(d) = client.poll_transmit(now) {
            service.receive(now, &d);
        }
        while let Some(event) = service.poll_event() {
            if let Event::Incoming(id, _) = event {
                service.accept(id).expect("pending");
            }
        }
        let now = now + ACK_DELAY;
        while let Some(d) = service.poll_transmit(now) {
            client.receive(now, &d);
        }
    }
    assert_eq!(service.held().0, INITIAL_WINDOW as usize);
    assert_eq!(client.held().0, SEND_BUFFER);
    assert_eq!(left, 1_000_000 - SEND_BUFFER - INITIAL_WINDOW as usize);
}

/// A megabyte in a reasonable time and number of datagrams, acknowledgements included. Without loss and with a fixed
/// window of 128 it would take about 6 s; the round trip is 1.2 s and varies.
#[test]
fn a_large_transfer_is_not_slow_nor_wasteful() {
    for (loss, most_seconds, most_datagrams) in [(0.0, 20.0, 1.3), (0.05, 60.0, 1.4), (0.2, 240.0, 2.2)] {
        for seed in 0..3 {
            let mut world = World::new(Network::new(seed, loss, 0.0), &Config::default());
            world.exchange(1, bytes(1, 1_000_000), Vec::new());
            assert!(world.run(World::all_closed));
            let needed = 1_000_000.0 / MAX as f64;
            let (seconds, sent) = (world.elapsed().as_secs_f64(), world.network.sent as f64 / needed);
            assert!(
                seconds < most_seconds && sent < most_datagrams,
                "loss {loss}: {seconds:.1} s, {sent:.2} times"
            );
            assert!(world.peak <= SEND_BUFFER.max(STREAM_WINDOW as usize));
        }
    }
}

/// Keep-alive holds a quiet session; without an answer it ends.
#[test]
fn a_quiet_session_lives_while_the_other_side_does() {
    let mut world = World::new(Network::new(9, 0.1, 0.0), &Config::default());
    let id = world.client.open(Target::Service { port: 1 }).expect("opens");
    world.client_apps.insert(id, App::default());
    world.answers.insert(1, Vec::new());
    world.run(|w| w.elapsed() > Duration::from_secs(1800));
    assert_eq!(world.ended, []);
    world.network.loss = 1.0;
    let before = world.elapsed();
    assert!(world.run(|w| w.ended.len() == 2));
    assert!(world.ended.iter().all(|(_, e)| *e == End::Silence));
    assert!(world.elapsed() - before <= Config::default().idle + Duration::from_secs(1));
    assert!(world.network.sent < 700, "{} datagrams in half an hour of quiet", world.network.sent);
}

#[test]
fn closing_is_told_and_repeated_to_who_goes_on() {
    let mut world = World::new(Network::new(10, 0.0, 0.0), &Config::default());
    world.exchange(1, bytes(1, 50_000), bytes(2, 50_000));
    world.run(|w| w.elapsed() > Duration::from_secs(3));
    world.network.loss = 1.0;
    world.client.close(EndCode::Done);
    world.client.close(EndCode::GoingAway);
    world.transmit(Side::Client);
    world.network.loss = 0.0;
    assert!(world.run(|w| w.ended.len() == 2));
    assert_eq!(world.ended, [(Side::Client, End::Closed), (Side::Service, End::ByPeer(EndCode::Done))]);
    assert_eq!(world.client.open(Target::Service { port: 1 }), Err(StreamError::Ended));
}
