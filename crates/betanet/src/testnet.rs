//! A small network of one's own: seven relays, two entries, two middles and three homes.
//!
//! One person runs all of it, so it gives no anonymity, and its consensus says so (`test`). Its keys, ports and
//! consensus are kept, so that address cards that carry the consensus stay good after a restart.

use crate::directory::{
    Authority, Consensus, Descriptor, EpochKey, Listed, Network, SignedConsensus, Timing,
};
use crate::lottery::Standing;
use crate::relay::RelayKeys;
use ed25519_dalek::SigningKey;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The layer of each relay of a test network.
pub const LAYOUT: [u8; 7] = [1, 1, 2, 2, 3, 3, 3];
/// A test network's consensus holds for a year: there is no directory to renew it from.
const VALID_SECONDS: u64 = 365 * 24 * 3600;

/// Nobody measures a test network's relays but its clients.
const UNMEASURED: Standing = Standing { reputation: 1000, performance: 1000, stake: 0 };

/// Everything secret of a test network, to be kept as a secret.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct TestNetwork {
    authority: [u8; 32],
    /// Link and Sphinx secret of each relay.
    relays: Vec<([u8; 32], [u8; 32])>,
    #[zeroize(skip)]
    ports: Vec<u16>,
    #[zeroize(skip)]
    layers: Vec<u8>,
    #[zeroize(skip)]
    created: u64,
}

impl TestNetwork {
    /// A new network with these layers on free loopback ports.
    ///
    /// # Errors
    /// No port is free.
    pub fn generate(layers: &[u8], now_unix: u64) -> io::Result<Self> {
        let mut rng = rand::rng();
        // All listeners are held until the last port is known, so that no port comes twice.
        let listeners = layers
            .iter()
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            authority: rng.random(),
            relays: layers.iter().map(|_| (rng.random(), rng.random())).collect(),
            ports: listeners.iter().map(|l| l.local_addr().map(|a| a.port())).collect::<io::Result<_>>()?,
            layers: layers.to_vec(),
            created: now_unix,
        })
    }

    /// The relays' keys and addresses.
    pub fn relays(&self) -> impl Iterator<Item = (RelayKeys, SocketAddr, u8)> {
        self.relays.iter().zip(&self.ports).zip(&self.layers).map(|(((link, sphinx), port), layer)| {
            let keys = RelayKeys { link: (*link).into(), sphinx: (*sphinx).into() };
            (keys, (Ipv4Addr::LOCALHOST, *port).into(), *layer)
        })
    }

    /// The signed consensus. The same network always gives the same bytes.
    pub fn consensus(&self) -> SignedConsensus {
        let descriptor = |(keys, address, layer): (RelayKeys, SocketAddr, u8)| Descriptor {
            id: keys.id(),
            identity: None,
            address,
            layer,
            operator: String::new(),
            published: self.created,
            keys: vec![EpochKey { epoch: 0, sphinx_key: keys.sphinx_key(), ticket: None }],
        };
        let listed = |relay| Listed { descriptor: descriptor(relay), standing: UNMEASURED };
        let mut relays: Vec<Listed> = self.relays().map(listed).collect();
        relays.sort_by_key(|r| r.id);
        Consensus {
            network: self.network(),
            // An hour back, for machines whose clocks differ.
            valid_after: self.created.saturating_sub(3600),
            valid_until: self.created + VALID_SECONDS,
            seeds: Vec::new(),
            relays,
        }
        .sign([&SigningKey::from_bytes(&self.authority)])
    }

    fn network(&self) -> Network {
        let authority = Authority {
            key: SigningKey::from_bytes(&self.authority).verifying_key().to_bytes(),
            link: [0; 32],
            // It signs once, and answers nobody.
            address: (Ipv4Addr::UNSPECIFIED, 0).into(),
        };
        Network::new(true, vec![authority], Timing::STILL, 0)
    }

    /// Another copy of the secrets, zeroised on its own.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            authority: self.authority,
            relays: self.relays.clone(),
            ports: self.ports.clone(),
            layers: self.layers.clone(),
            created: self.created,
        }
    }

    /// The network's id.
    pub fn id(&self) -> crate::Key {
        self.network().id()
    }
}
