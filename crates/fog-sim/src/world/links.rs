//! Links come up when two nodes have found each other and both have room, and go when they walk apart.

use super::{Event, Link, START, World};
use bitchat::mesh::{LinkId, LinkRole, Millis};

/// Two nodes in range.
#[derive(Debug)]
pub(super) struct Near {
    /// When they have found each other and connected.
    ready: f64,
    found: f64,
    link: Option<u64>,
    step: u64,
    rssi: i8,
}

/// Nodes that stand are looked at for so long: by then all have found each other.
const STILL_STEPS: u64 = 120;

impl World {
    pub(super) fn step(&mut self) {
        self.steps += 1;
        if !self.places.fixed() || self.steps == 1 {
            if self.steps > 1 {
                self.places.step();
            }
            self.pairs = self.places.pairs(self.radio.range);
            if self.places.fixed() {
                // Who finds whom first is chance, not the order of their numbers.
                let mut pairs = std::mem::take(&mut self.pairs);
                self.chance.shuffle(&mut pairs);
                self.pairs = pairs;
            }
        }
        self.look_around();
        if !self.places.fixed() || self.steps < STILL_STEPS {
            self.schedule(self.now + 1000, Event::Step);
        }
    }

    fn look_around(&mut self) {
        let pairs = std::mem::take(&mut self.pairs);
        let (now, step) = ((self.now - START) as f64, self.steps);
        let moving = !self.places.fixed();
        for (a, b) in &pairs {
            let distance = self.places.at(*a as usize).distance(self.places.at(*b as usize));
            let rssi = self.radio.rssi(distance);
            let Some(near) = self.near.get_mut(&(*a, *b)) else {
                let phases = [self.nodes[*a as usize].phase, self.nodes[*b as usize].phase];
                let found = self.radio.discovery(now, phases, &mut self.chance);
                let takes = self.chance.between(self.radio.connect_ms.0, self.radio.connect_ms.1);
                self.log.discoveries.push((found + takes - now) / 1000.0);
                self.near.insert((*a, *b), Near { ready: found + takes, found, link: None, step, rssi });
                continue;
            };
            near.step = step;
            let changed = near.rssi != rssi;
            near.rssi = rssi;
            let (link, ready, found) = (near.link, near.ready, near.found);
            if let Some(link) = link {
                if moving && changed {
                    for n in [*a, *b] {
                        self.nodes[n as usize].engine.signal(LinkId(link), rssi);
                    }
                }
            } else if ready <= now && self.has_room(*a) && self.has_room(*b) {
                self.connect(*a, *b, rssi, found);
            }
        }
        self.pairs = pairs;
        if moving {
            let gone: Vec<((u32, u32), Option<u64>)> =
                self.near.iter().filter(|(_, n)| n.step != step).map(|(p, n)| (*p, n.link)).collect();
            for (pair, link) in gone {
                if let Some(link) = link {
                    self.disconnect(link);
                }
                self.near.remove(&pair);
            }
        }
    }

    fn has_room(&self, n: u32) -> bool {
        let node = &self.nodes[n as usize];
        node.links < self.radio.links && !node.away
    }

    fn connect(&mut self, a: u32, b: u32, rssi: i8, found: f64) {
        self.next_link += 1;
        let id = self.next_link;
        self.links.insert(id, Link { ends: [a, b], up: true });
        if let Some(near) = self.near.get_mut(&(a, b)) {
            near.link = Some(id);
        }
        // Who heard the other first connects; as good as chance.
        let a_first = (found as u64).is_multiple_of(2);
        for (n, central) in [(a, a_first), (b, !a_first)] {
            let node = &mut self.nodes[n as usize];
            node.links += 1;
            let role = if central { LinkRole::Central } else { LinkRole::Peripheral };
            node.engine.link_up(self.now, LinkId(id), role, rssi);
        }
        self.drain(a);
        self.drain(b);
    }

    pub(super) fn disconnect(&mut self, id: u64) {
        let Some(link) = self.links.remove(&id) else { return };
        let (a, b) = (link.ends[0], link.ends[1]);
        if let Some(near) = self.near.get_mut(&(a.min(b), a.max(b))) {
            near.link = None;
        }
        for n in link.ends {
            let node = &mut self.nodes[n as usize];
            node.links -= 1;
            node.bound.remove(&id);
            node.engine.link_down(self.now, LinkId(id));
            self.drain(n);
        }
    }

    /// Takes a node out of reach, or brings it back.
    pub(crate) fn set_away(&mut self, n: u32, away: bool) {
        self.nodes[n as usize].away = away;
        if away {
            let of_node: Vec<u64> =
                self.links.iter().filter(|(_, l)| l.ends.contains(&n)).map(|(id, _)| *id).collect();
            for link in of_node {
                self.disconnect(link);
            }
        } else {
            // Those nearby have to find it anew.
            let now = (self.now - START) as f64;
            for ((a, b), near) in &mut self.near {
                if [*a, *b].contains(&n) {
                    let phases = [self.nodes[*a as usize].phase, self.nodes[*b as usize].phase];
                    near.found = self.radio.discovery(now, phases, &mut self.chance);
                    near.ready =
                        near.found + self.chance.between(self.radio.connect_ms.0, self.radio.connect_ms.1);
                }
            }
            if self.places.fixed() && self.steps >= STILL_STEPS {
                self.steps = STILL_STEPS / 2;
                self.schedule(self.now + 1000, Event::Step);
            }
        }
    }

    /// The nodes that links join with this one, itself included.
    pub(crate) fn component(&self, n: u32) -> Vec<u32> {
        let mut beside = vec![Vec::new(); self.nodes.len()];
        for link in self.links.values() {
            let [a, b] = link.ends;
            beside[a as usize].push(b);
            beside[b as usize].push(a);
        }
        let mut seen = vec![false; self.nodes.len()];
        let mut found = vec![n];
        seen[n as usize] = true;
        let mut at = 0;
        while at < found.len() {
            for next in &beside[found[at] as usize] {
                if !std::mem::replace(&mut seen[*next as usize], true) {
                    found.push(*next);
                }
            }
            at += 1;
        }
        found
    }

    /// Links between two nodes on the shortest way; None where there is none.
    pub(crate) fn hops(&self, from: u32, to: u32) -> Option<u32> {
        let mut beside = vec![Vec::new(); self.nodes.len()];
        for link in self.links.values() {
            let [a, b] = link.ends;
            beside[a as usize].push(b);
            beside[b as usize].push(a);
        }
        let mut depth = vec![u32::MAX; self.nodes.len()];
        let mut queue = std::collections::VecDeque::from([from]);
        depth[from as usize] = 0;
        while let Some(at) = queue.pop_front() {
            for next in &beside[at as usize] {
                if depth[*next as usize] == u32::MAX {
                    depth[*next as usize] = depth[at as usize] + 1;
                    queue.push_back(*next);
                }
            }
        }
        Some(depth[to as usize]).filter(|d| *d != u32::MAX)
    }

    /// Links in the mean.
    pub(crate) fn mean_links(&self) -> f64 {
        2.0 * self.links.len() as f64 / self.nodes.len() as f64
    }

    /// Somebody has a link to this one now.
    pub(crate) fn linked(&self, n: u32) -> bool {
        self.nodes[n as usize].links > 0
    }

    /// Neighbours of a node.
    pub(crate) fn neighbours(&self, n: u32) -> Vec<u32> {
        let of = |l: &Link| l.ends.iter().copied().find(|e| *e != n).filter(|_| l.ends.contains(&n));
        self.links.values().filter_map(of).collect()
    }

    /// The clock, for events of the scenario.
    pub(crate) fn at(&self, elapsed: Millis) -> Millis {
        START + elapsed
    }
}
