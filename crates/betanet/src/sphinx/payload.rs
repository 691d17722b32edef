//! The payload: LIONESS (Anderson & Biham 1996) over the whole of it, with ChaCha20 and keyed BLAKE2b, in place.

use super::keys::PayloadKey;
use super::{Error, PAYLOAD_OVERHEAD};
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

const LEFT: usize = 32;
const ZEROS: usize = 16;

/// The four rounds' keys lie one after the other.
const ROUND_1: usize = 0;
const ROUND_2: usize = 32;
const ROUND_3: usize = 96;
const ROUND_4: usize = 128;

/// Adds a layer. The payload is longer than [`LEFT`].
pub(super) fn encrypt(key: &PayloadKey, payload: &mut [u8]) {
    let Some((left, right)) = payload.split_first_chunk_mut::<LEFT>() else { return };
    stream(key, ROUND_1, left, right);
    hash(key, ROUND_2, left, right);
    stream(key, ROUND_3, left, right);
    hash(key, ROUND_4, left, right);
}

/// Takes a layer off. The payload is longer than [`LEFT`].
pub(super) fn decrypt(key: &PayloadKey, payload: &mut [u8]) {
    let Some((left, right)) = payload.split_first_chunk_mut::<LEFT>() else { return };
    hash(key, ROUND_4, left, right);
    stream(key, ROUND_3, left, right);
    hash(key, ROUND_2, left, right);
    stream(key, ROUND_1, left, right);
}

fn stream(key: &PayloadKey, round: usize, left: &[u8; LEFT], right: &mut [u8]) {
    let mut round_key = Zeroizing::new(*left);
    for (k, sub) in round_key.iter_mut().zip(&key.0[round..]) {
        *k ^= sub;
    }
    ChaCha20::new((&*round_key).into(), &[0; 12].into()).apply_keystream(right);
}

fn hash(key: &PayloadKey, round: usize, left: &mut [u8; LEFT], right: &[u8]) {
    let Some(sub) = key.0[round..].first_chunk::<64>() else { return };
    let mut mac = <Blake2bMac<U32> as KeyInit>::new(sub.into());
    mac.update(right);
    for (l, tag) in left.iter_mut().zip(mac.finalize().as_bytes()) {
        *l ^= tag;
    }
}

/// Writes a message with its zeros and padding over the whole payload.
pub(super) fn pad(message: &[u8], payload: &mut [u8]) -> Result<(), Error> {
    let most = payload.len().saturating_sub(PAYLOAD_OVERHEAD);
    if message.len() > most {
        return Err(Error::TooLong(most, message.len()));
    }
    payload.fill(0);
    payload[ZEROS..ZEROS + message.len()].copy_from_slice(message);
    payload[ZEROS + message.len()] = 1;
    Ok(())
}

/// The message in a payload whose last layer is off.
pub(super) fn unpad(payload: &[u8]) -> Result<&[u8], Error> {
    let (zeros, padded) = payload.split_at_checked(ZEROS).ok_or(Error::Payload)?;
    // All are looked at, whatever the first is.
    if zeros.iter().fold(0, |all, b| all | b) != 0 {
        return Err(Error::Payload);
    }
    let end = padded.iter().rposition(|b| *b == 1).ok_or(Error::Payload)?;
    Ok(&padded[..end])
}
