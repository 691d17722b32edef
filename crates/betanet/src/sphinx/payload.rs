//! The payload: LIONESS (Anderson & Biham 1996) over the whole of it, with ChaCha20 and keyed BLAKE2b, in place.

use super::keys::PayloadKey;
use super::{Error, PAYLOAD_OVERHEAD};
use blake2b_simd::Params;
use blake2b_simd::many::{HashManyJob, hash_many};
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
    decrypt_group(std::array::from_ref(key), [payload]);
}

/// Takes a layer off each of these. Several are hashed at once, each in its own lane.
pub(super) fn decrypt_group<const N: usize>(keys: &[PayloadKey; N], payloads: [&mut [u8]; N]) {
    // One that is too short is empty on the right, and nobody asks for it.
    let mut halves = payloads.map(|p| p.split_at_mut(p.len().min(LEFT)));
    for (hashed, streamed) in [(ROUND_4, ROUND_3), (ROUND_2, ROUND_1)] {
        let params: [Params; N] = std::array::from_fn(|i| keyed(&keys[i], hashed));
        let mut jobs: [_; N] = std::array::from_fn(|i| HashManyJob::new(&params[i], halves[i].1));
        hash_many(&mut jobs);
        let macs = jobs.map(|job| job.to_hash());
        for (i, (left, right)) in halves.iter_mut().enumerate() {
            xor(left, macs[i].as_bytes());
            stream(&keys[i], streamed, left, right);
        }
    }
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    for (b, w) in bytes.iter_mut().zip(with) {
        *b ^= w;
    }
}

fn stream(key: &PayloadKey, round: usize, left: &[u8], right: &mut [u8]) {
    let mut round_key = Zeroizing::new([0; LEFT]);
    round_key.copy_from_slice(&key.0[round..round + LEFT]);
    xor(&mut *round_key, left);
    ChaCha20::new((&*round_key).into(), &[0; 12].into()).apply_keystream(right);
}

/// BLAKE2b with this round's key of 64 bytes.
fn keyed(key: &PayloadKey, round: usize) -> Params {
    let mut params = Params::new();
    params.hash_length(LEFT).key(&key.0[round..round + 64]);
    params
}

fn hash(key: &PayloadKey, round: usize, left: &mut [u8], right: &[u8]) {
    xor(left, keyed(key, round).hash(right).as_bytes());
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
