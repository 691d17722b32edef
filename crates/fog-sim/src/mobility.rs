//! Where the nodes are, and how they move.

use crate::chance::Chance;

/// A place, metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl Place {
    pub(crate) fn distance(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// How nodes move.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Movement {
    /// Not at all.
    Fixed(Vec<Place>),
    /// To a random place of a square at a random speed, a pause, and on to the next: metres of a side.
    Waypoint { nodes: usize, side: f64 },
    /// Each has a home, a small square, and moves in it. Some travel from home to home instead.
    Communities { communities: usize, each: usize, side: f64, home: f64, travellers: f64 },
}

const SPEED: (f64, f64) = (0.5, 1.5);
const PAUSE_S: (f64, f64) = (0.0, 120.0);

#[derive(Debug)]
struct Walker {
    at: Place,
    to: Place,
    speed: f64,
    pause_s: f64,
    /// The square in which the next place is drawn: corner and side. None: any home.
    home: Option<(Place, f64)>,
}

/// All nodes' places.
#[derive(Debug)]
pub(crate) struct Places {
    walkers: Vec<Walker>,
    homes: Vec<(Place, f64)>,
    fixed: bool,
    chance: Chance,
}

impl Places {
    pub(crate) fn new(movement: &Movement, seed: u64) -> Self {
        let mut chance = Chance::new(seed, 1);
        let anywhere = |side| (Place { x: 0.0, y: 0.0 }, side);
        let still = |at| Walker { at, to: at, speed: 1.0, pause_s: 0.0, home: None };
        let (mut homes, mut walkers) = (Vec::new(), Vec::new());
        match movement {
            Movement::Fixed(places) => walkers.extend(places.iter().map(|p| still(*p))),
            Movement::Waypoint { nodes, side } => {
                let home = anywhere(*side);
                for _ in 0..*nodes {
                    let at = within(home, &mut chance);
                    walkers.push(Walker { home: Some(home), ..still(at) });
                }
            }
            Movement::Communities { communities, each, side, home, travellers } => {
                for _ in 0..*communities {
                    let x = chance.between(0.0, side - home);
                    let y = chance.between(0.0, side - home);
                    homes.push((Place { x, y }, *home));
                }
                for n in 0..communities * each {
                    let home = homes[n / each];
                    let at = within(home, &mut chance);
                    // The same share in every community.
                    let travels = ((n % each) as f64) < *travellers * *each as f64;
                    walkers.push(Walker { home: (!travels).then_some(home), ..still(at) });
                }
            }
        }
        let fixed = matches!(movement, Movement::Fixed(_));
        let mut places = Self { walkers, homes, fixed, chance };
        if !fixed {
            // So that they do not all begin to walk at once.
            for n in 0..places.walkers.len() {
                places.next_leg(n);
                let share = places.chance.unit();
                let w = &mut places.walkers[n];
                let way = Place { x: w.to.x - w.at.x, y: w.to.y - w.at.y };
                w.at = Place { x: w.at.x + way.x * share, y: w.at.y + way.y * share };
            }
        }
        places
    }

    pub(crate) fn len(&self) -> usize {
        self.walkers.len()
    }

    pub(crate) fn fixed(&self) -> bool {
        self.fixed
    }

    pub(crate) fn at(&self, node: usize) -> Place {
        self.walkers[node].at
    }

    /// One second.
    pub(crate) fn step(&mut self) {
        for n in 0..self.walkers.len() {
            let w = &mut self.walkers[n];
            if w.pause_s >= 1.0 {
                w.pause_s -= 1.0;
                continue;
            }
            let left = w.at.distance(w.to);
            if left <= w.speed {
                w.at = w.to;
                self.next_leg(n);
            } else {
                let share = w.speed / left;
                w.at.x += (w.to.x - w.at.x) * share;
                w.at.y += (w.to.y - w.at.y) * share;
            }
        }
    }

    fn next_leg(&mut self, n: usize) {
        let home = match self.walkers[n].home {
            Some(home) => home,
            None => self.homes[self.chance.below(self.homes.len())],
        };
        let to = within(home, &mut self.chance);
        let (speed, pause_s) =
            (self.chance.between(SPEED.0, SPEED.1), self.chance.between(PAUSE_S.0, PAUSE_S.1));
        let w = &mut self.walkers[n];
        (w.to, w.speed, w.pause_s) = (to, speed, pause_s);
    }

    /// All pairs that are no further apart than this, each once, in a fixed order.
    pub(crate) fn pairs(&self, range: f64) -> Vec<(u32, u32)> {
        let cell = |p: Place| ((p.x / range).floor() as i32, (p.y / range).floor() as i32);
        let mut cells: Vec<((i32, i32), u32)> =
            self.walkers.iter().enumerate().map(|(n, w)| (cell(w.at), n as u32)).collect();
        cells.sort_unstable();
        let row = |c: (i32, i32)| {
            let from = cells.partition_point(|(k, _)| *k < c);
            cells[from..].iter().take_while(move |(k, _)| *k == c).map(|(_, n)| *n)
        };
        let mut pairs = Vec::new();
        for (at, (c, a)) in cells.iter().enumerate() {
            let here = cells[at + 1..].iter().take_while(|(k, _)| k == c).map(|(_, n)| *n);
            let beside = [(0, 1), (1, -1), (1, 0), (1, 1)];
            let around = beside.iter().flat_map(|(x, y)| row((c.0 + x, c.1 + y)));
            for b in here.chain(around) {
                if self.at(*a as usize).distance(self.at(b as usize)) <= range {
                    pairs.push((*a.min(&b), *a.max(&b)));
                }
            }
        }
        pairs
    }
}

fn within((corner, side): (Place, f64), chance: &mut Chance) -> Place {
    Place { x: chance.between(corner.x, corner.x + side), y: chance.between(corner.y, corner.y + side) }
}

/// A line of nodes.
pub(crate) fn line(nodes: usize, apart: f64) -> Movement {
    Movement::Fixed((0..nodes).map(|n| Place { x: n as f64 * apart, y: 0.0 }).collect())
}

/// A square grid of nodes.
pub(crate) fn grid(width: usize, apart: f64) -> Movement {
    let place = |n: usize| Place { x: (n % width) as f64 * apart, y: (n / width) as f64 * apart };
    Movement::Fixed((0..width * width).map(place).collect())
}

/// People who stand in a square.
pub(crate) fn crowd(nodes: usize, side: f64, seed: u64) -> Movement {
    let mut chance = Chance::new(seed, 2);
    Movement::Fixed((0..nodes).map(|_| within((Place { x: 0.0, y: 0.0 }, side), &mut chance)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_of_cells_finds_the_same_pairs_as_looking_at_all() {
        let mut places = Places::new(&Movement::Waypoint { nodes: 300, side: 400.0 }, 7);
        for _ in 0..50 {
            places.step();
        }
        let mut found = places.pairs(30.0);
        found.sort_unstable();
        let mut all = Vec::new();
        for a in 0..300_u32 {
            for b in a + 1..300 {
                if places.at(a as usize).distance(places.at(b as usize)) <= 30.0 {
                    all.push((a, b));
                }
            }
        }
        assert!(all.len() > 100);
        assert_eq!(found, all);
    }

    #[test]
    fn walkers_stay_where_they_belong_and_travellers_do_not() {
        let movement =
            Movement::Communities { communities: 5, each: 10, side: 2000.0, home: 100.0, travellers: 0.2 };
        let mut places = Places::new(&movement, 1);
        let start: Vec<Place> = (0..50).map(|n| places.at(n)).collect();
        let mut furthest = vec![0.0_f64; 50];
        for _ in 0..20_000 {
            places.step();
            for (n, f) in furthest.iter_mut().enumerate() {
                *f = f.max(places.at(n).distance(start[n]));
            }
        }
        for (n, far) in furthest.iter().enumerate() {
            assert_eq!(*far > 142.0, n % 10 < 2, "{n} went {far} m");
        }
    }
}
