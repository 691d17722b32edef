//! The protocol's byte vectors. `vectors/bitchat.json` has those with test identities; those that the apps publish
//! stand in the tests beside the code that they are about, and here.

#![allow(clippy::unwrap_used, reason = "tests")]

mod noise;
mod packets;
mod payloads;

use bitchat::Identity;
use ed25519_dalek::SigningKey;
use rand::{TryCryptoRng, TryRng};
use serde_json::Value;
use std::convert::Infallible;

/// When everything in the vectors happens, milliseconds since 1970.
const TIME: u64 = 1_750_000_000_123;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../vectors/bitchat.json")).unwrap()
}

/// The text at a path such as `announce.frame`.
fn text(path: &str) -> String {
    let value = vectors();
    let found = path.split('.').fold(&value, |v, name| &v[name]);
    found.as_str().unwrap_or_else(|| panic!("no text at {path}")).to_owned()
}

fn number(path: &str) -> u64 {
    let value = vectors();
    path.split('.').fold(&value, |v, name| &v[name]).as_u64().unwrap()
}

/// The bytes at a path.
fn bytes(path: &str) -> Vec<u8> {
    hex::decode(text(path)).unwrap()
}

fn array<const N: usize>(path: &str) -> [u8; N] {
    bytes(path).try_into().unwrap()
}

fn signing_key(of: &str) -> SigningKey {
    SigningKey::from_bytes(&array(&format!("{of}.ed_seed")))
}

fn peer_id(of: &str) -> bitchat::PeerId {
    text(&format!("{of}.peer_id")).parse().unwrap()
}

fn identity(of: &str) -> Identity {
    Identity::from_bytes(&array(&format!("{of}.noise_priv")), &array(&format!("{of}.ed_seed")))
}

/// Random numbers that are known: an ephemeral key.
struct Known(Vec<u8>);

impl TryRng for Known {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("keys are drawn at once")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("keys are drawn at once")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let bytes: Vec<u8> = self.0.drain(..out.len()).collect();
        out.copy_from_slice(&bytes);
        Ok(())
    }
}

impl TryCryptoRng for Known {}
