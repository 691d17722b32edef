//! All roads of a node as one: each datagram takes the road of its address, and where that is a direct connection which is
//! not there, the mixnet. That protects more, so it is no way down.

use crate::direct::{self, Direct};
use crate::mixnet::{self, MixnetRoad};
use crate::transport::{Address, Route, Transport, TransportError};
use betanet::Key;
use std::sync::Arc;
use std::time::Duration;

/// The mixnet, and direct connections for those who want them.
pub struct Roads {
    mixnet: Arc<MixnetRoad>,
    direct: Arc<Direct>,
}

impl Roads {
    /// These roads.
    pub fn new(mixnet: Arc<MixnetRoad>, direct: Arc<Direct>) -> Self {
        Self { mixnet, direct }
    }

    /// Somebody whose device with this key is to be reached directly, or else as `otherwise` says.
    pub fn direct_address(key: &Key, otherwise: &Address) -> Address {
        direct::address(key, otherwise)
    }
}

/// The mixnet's part of an address.
fn by_mixnet(to: &Address) -> Address {
    match direct::parts(to) {
        Some((_, otherwise)) => Address { road: mixnet::ROAD, bytes: otherwise.to_vec() },
        None => to.clone(),
    }
}

impl Transport for Roads {
    fn name(&self) -> &'static str {
        "all"
    }

    fn datagram_len(&self) -> usize {
        self.mixnet.datagram_len()
    }

    fn patience(&self) -> Duration {
        self.mixnet.patience()
    }

    fn room(&self, to: &Address) -> Result<(), TransportError> {
        match direct::parts(to).map(|(key, _)| self.direct.room(&key)) {
            Some(room @ (Ok(()) | Err(TransportError::Busy(_)))) => room,
            _ => self.mixnet.room(&by_mixnet(to)),
        }
    }

    fn send(&self, to: &Address, datagram: &[u8]) -> Result<Route, TransportError> {
        match direct::parts(to).map(|(key, _)| self.direct.send(&key, datagram)) {
            Some(Ok(())) => Ok(Route::default()),
            Some(Err(busy @ TransportError::Busy(_))) => Err(busy),
            _ => self.mixnet.send(&by_mixnet(to), datagram),
        }
    }

    fn reply_block(&self, to: &Address, room: usize) -> Option<Vec<u8>> {
        let up = direct::parts(to).is_some_and(|(key, _)| self.direct.is_up(&key));
        if up { None } else { self.mixnet.reply_block(&by_mixnet(to), room) }
    }

    fn answer(&self, to: Option<&Address>, block: &[u8], datagram: &[u8]) -> Result<(), TransportError> {
        self.mixnet.answer(to.map(by_mixnet).as_ref(), block, datagram)
    }

    fn feedback(&self, to: &Address, route: &Route, arrived: bool) {
        // A connection that is there needs no opinion of relays.
        if !route.hops.is_empty() {
            self.mixnet.feedback(&by_mixnet(to), route, arrived);
        }
    }
}
