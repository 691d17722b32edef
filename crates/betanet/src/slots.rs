//! How many links there may be, all in all and from one address.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Counts the links, all and by address.
#[derive(Clone)]
pub(crate) struct Slots {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
    most_of_one: usize,
}

impl Slots {
    pub(crate) fn new(most: usize, most_of_one: usize) -> Self {
        Self { taken: Arc::default(), most, most_of_one }
    }

    /// None if there are as many links as there may be.
    pub(crate) fn take(&self, from: IpAddr) -> Option<Slot> {
        let mut taken = self.taken.lock();
        if taken.values().sum::<usize>() >= self.most {
            return None;
        }
        let here = taken.entry(from).or_default();
        if *here >= self.most_of_one {
            return None;
        }
        *here += 1;
        Some(Slot { slots: self.clone(), from })
    }
}

/// The place of one link, until it is dropped.
pub(crate) struct Slot {
    slots: Slots,
    from: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        if let Some(here) = taken.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                taken.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places() {
        let slots = Slots::new(20, 5);
        let address = |n: u16| IpAddr::from([10, 0, n as u8, 1]);
        let mut held: Vec<Slot> = (0..5).map_while(|_| slots.take(address(0))).collect();
        assert_eq!(held.len(), 5);
        assert!(slots.take(address(0)).is_none());
        for n in 1..=4 {
            held.extend((0..5).map_while(|_| slots.take(address(n))));
        }
        assert_eq!(held.len(), 20);
        held.pop();
        assert!(slots.take(address(99)).is_some());
        drop(held);
        assert!(slots.taken.lock().is_empty());
    }
}
