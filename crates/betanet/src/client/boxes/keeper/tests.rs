use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BinaryHeap;

const SUPPLY: Supply = Supply { low: 24, high: 96, quiet: Duration::from_secs(30) };

/// A relay as the keeper sees it: deposits and reports take their time, and some get lost.
struct World {
    keeper: Keeper,
    start: Instant,
    /// Milliseconds since the start.
    now: u64,
    rng: StdRng,
    loss: f64,
    until: u64,
    /// What is under way: due (negated, for a heap), order, what.
    way: BinaryHeap<(std::cmp::Reverse<u64>, u64, Way)>,
    order: u64,
    /// Blocks at the relay by the time until which they are good; none if it has no box.
    blocks: Option<Vec<u64>>,
    highest: u64,
    sent: u64,
    waiting: u16,
    passed: u32,
    deposits: u32,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Deposit { number: u64, blocks: usize, tell: bool, until: u64 },
    Report { sent: u64, number: u64, left: u16, waiting: u16 },
}

impl World {
    fn new(seed: u64, loss: f64) -> Self {
        Self {
            keeper: Keeper::new(SUPPLY, 1),
            start: Instant::now(),
            now: 0,
            rng: StdRng::seed_from_u64(seed),
            loss,
            until: 100,
            way: BinaryHeap::new(),
            order: 0,
            blocks: None,
            highest: 0,
            sent: 0,
            waiting: 0,
            passed: 0,
            deposits: 0,
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn under_way(&mut self, what: Way) {
        if self.rng.random::<f64>() >= self.loss {
            let due = self.now + self.rng.random_range(50..400);
            self.order += 1;
            self.way.push((std::cmp::Reverse(due), self.order, what));
        }
    }

    /// The relay uses a block, if it has one.
    fn answer(&mut self) -> bool {
        let Some(blocks) = &mut self.blocks else { return false };
        if blocks.pop().is_none() {
            return false;
        }
        self.sent += 1;
        let best = blocks.iter().max();
        let left = blocks.iter().filter(|b| Some(*b) == best).count() as u16;
        let report = Way::Report { sent: self.sent, number: self.highest, left, waiting: self.waiting };
        self.under_way(report);
        true
    }

    /// Somebody puts something into the box.
    fn put(&mut self) {
        self.waiting = (self.waiting + 1).min(64);
        self.pass_on();
    }

    fn pass_on(&mut self) {
        while self.waiting > 0 {
            self.waiting -= 1;
            if !self.answer() {
                self.waiting += 1;
                return;
            }
            self.passed += 1;
        }
    }

    fn step(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            loop {
                match self.keeper.poll(self.at(self.now), self.until) {
                    Step::Wait(until) => {
                        assert!(until > self.at(self.now));
                        break;
                    }
                    Step::Deposit { number, blocks, tell } => {
                        assert!((1..=MAX_DEPOSIT).contains(&blocks));
                        self.deposits += 1;
                        let (at, until) = (self.at(self.now), self.until);
                        self.keeper.deposited(at, number, blocks, tell, until);
                        self.under_way(Way::Deposit { number, blocks, tell, until });
                    }
                }
            }
            self.now += 10;
            while self.way.peek().is_some_and(|w| w.0.0 <= self.now)
                && let Some((_, _, what)) = self.way.pop()
            {
                match what {
                    Way::Deposit { number, blocks, tell, until } => {
                        let have = self.blocks.get_or_insert_with(Vec::new);
                        have.extend(std::iter::repeat_n(until, blocks));
                        let too_many = have.len().saturating_sub(crate::mix::MAX_BLOCKS);
                        have.drain(..too_many);
                        self.highest = self.highest.max(number);
                        self.pass_on();
                        if tell {
                            self.answer();
                        }
                    }
                    Way::Report { sent, number, left, waiting } => {
                        self.keeper.answered(self.at(self.now), Report { sent, number, left, waiting });
                    }
                }
            }
        }
    }

    fn blocks(&self) -> usize {
        self.blocks.as_ref().map_or(0, Vec::len)
    }
}

#[test]
fn a_box_is_filled_at_once_and_kept_at_little_cost() {
    let mut world = World::new(1, 0.0);
    world.step(1000);
    assert!((20..=32).contains(&world.blocks()), "{}", world.blocks());
    let before = world.deposits;
    world.step(10 * 60_000);
    let (blocks, asked) = (world.blocks(), world.deposits - before);
    assert!((20..=40).contains(&blocks), "{blocks}");
    assert!((15..=30).contains(&asked), "{asked} deposits in ten quiet minutes");
}

#[test]
fn heavy_traffic_gets_a_block_for_each_payload() {
    for (seed, loss) in [(1, 0.0), (2, 0.05), (3, 0.2)] {
        let mut world = World::new(seed, loss);
        world.step(1000);
        for _ in 0..2000 {
            world.put();
            world.step(10);
        }
        assert!(world.passed > 1900, "{} of 2,000 at a loss of {loss}", world.passed);
        // Four blocks in each deposit, and no more than what gets lost on top.
        assert!(world.deposits < 900, "{} deposits", world.deposits);
        world.step(60_000);
        assert_eq!(world.waiting, 0);
        assert!((8..=128).contains(&world.blocks()), "{}", world.blocks());
    }
}

#[test]
fn a_relay_that_lost_the_box_is_supplied_again() {
    let mut world = World::new(4, 0.02);
    world.step(2000);
    for _ in 0..10 {
        (world.blocks, world.highest, world.sent, world.waiting) = (None, 0, 0, 0);
        world.step(45_000);
        assert!(world.blocks() >= 15, "{}", world.blocks());
        world.put();
        assert_eq!(world.waiting, 0);
    }
}

#[test]
fn a_new_epoch_gets_new_blocks() {
    let mut world = World::new(5, 0.0);
    world.step(5000);
    world.until = 200;
    world.step(1000);
    let of_now = |w: &World| w.blocks.iter().flatten().filter(|b| **b == w.until).count();
    assert!(of_now(&world) >= 20, "{}", of_now(&world));
    // Relays drop the old ones; the reports do not count them.
    if let Some(blocks) = &mut world.blocks {
        blocks.retain(|b| *b == 200);
    }
    for _ in 0..200 {
        world.put();
        world.step(20);
    }
    assert!(of_now(&world) >= 15);
    assert_eq!(world.waiting, 0);
}

#[test]
fn a_silent_relay_gets_questions_alone_and_comes_back() {
    let mut world = World::new(6, 0.0);
    world.step(2000);
    world.loss = 1.0;
    world.step(70_000);
    assert!(world.keeper.is_silent());
    let before = world.deposits;
    world.step(10 * 60_000);
    assert!((15..=40).contains(&(world.deposits - before)), "{}", world.deposits - before);
    world.loss = 0.0;
    (world.blocks, world.highest, world.sent) = (None, 0, 0);
    world.step(35_000);
    assert!(!world.keeper.is_silent() && world.blocks() >= 20, "{}", world.blocks());

    world.keeper.begin_anew();
    (world.blocks, world.highest, world.sent) = (None, 0, 0);
    world.step(1000);
    assert!(world.blocks() >= 20);
}

#[test]
fn reports_that_were_made_up_change_nothing() {
    let mut world = World::new(7, 0.0);
    world.step(5000);
    let estimate = world.keeper.estimate();
    let now = world.at(world.now);
    for number in [u64::MAX, world.keeper.next, 0] {
        world.keeper.answered(now, Report { sent: u64::MAX, number, left: u16::MAX, waiting: 1 });
    }
    assert_eq!(world.keeper.estimate(), estimate);
}
