//! Tickets: the VRF of a relay at an epoch, over Ristretto with a proof of equal discrete logarithms
//! (`schnorrkel`; the construction is 2Hash-DH of Ouroboros Praos, <https://eprint.iacr.org/2017/573>, appendix C).

use crate::Key;
use schnorrkel::context::{SigningTranscript, attach_rng, signing_context};
use schnorrkel::vrf::{VRFInOut, VRFPreOut, VRFProof};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey, PublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const INPUT: &[u8] = b"betanet lottery 1 input";
const PROOF: &[u8] = b"betanet lottery 1 proof";
const NONCE: &[u8] = b"betanet lottery 1 nonce";
const OUTPUT: &[u8] = b"betanet lottery 1 output";
const SEED: &str = "betanet lottery 1 seed of the next epoch";

/// A relay's secret key for the lottery. Zeroised when dropped.
pub struct VrfSecret(Keypair);

impl VrfSecret {
    /// The key that belongs to these 32 secret, uniform bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let mini = MiniSecretKey::from_bytes(seed.as_slice()).expect("any 32 bytes are a seed");
        Self(mini.expand_to_keypair(ExpansionMode::Uniform))
    }

    /// The public key, under which others check the tickets.
    pub fn public(&self) -> Key {
        self.0.public.to_bytes()
    }

    /// The ticket for an epoch of a network whose seed is `seed`. Always the same for the same input, and no chance
    /// is needed: the proof's nonce is derived from the secret key and everything that is proved.
    pub fn draw(&self, network: &Key, epoch: u32, seed: &[u8; 32]) -> Ticket {
        self.draw_with(NONCE, network, epoch, seed)
    }

    fn draw_with(&self, nonce: &[u8], network: &Key, epoch: u32, seed: &[u8; 32]) -> Ticket {
        let io = self.0.vrf_create_hash(input(network, epoch, seed));
        // schnorrkel adds the key's secret nonce to this generator, whose stream itself is no secret.
        let transcript = attach_rng(signing_context(PROOF).bytes(b""), io.make_merlin_rng(nonce));
        let (proof, _) = self.0.dleq_proove(transcript, &io, false);
        let (mut c, mut s) = ([0; 32], [0; 32]);
        let bytes = proof.to_bytes();
        c.copy_from_slice(&bytes[..32]);
        s.copy_from_slice(&bytes[32..]);
        Ticket { output: io.to_preout().to_bytes(), proof: [c, s] }
    }
}

impl std::fmt::Debug for VrfSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VrfSecret of {}", crate::short(&self.public()))
    }
}

/// A relay's draw for an epoch with its proof: 96 bytes in postcard. Bytes that are no ticket decode too, and fail in
/// [`Ticket::verify`]; nothing is allocated for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The VRF's output point. Not the bytes that count: [`Ticket::verify`] derives those.
    output: [u8; 32],
    /// Challenge and response of the proof. (serde knows arrays of up to 32 elements.)
    proof: [[u8; 32]; 2],
}

impl Ticket {
    /// The 32 uniform bytes of this draw, if it is the one that the key's owner had to make for this network, epoch
    /// and seed. There is one result for each input: they come from the VRF's input and output, not from the proof.
    pub fn verify(&self, vrf_key: &Key, network: &Key, epoch: u32, seed: &[u8; 32]) -> Option<[u8; 32]> {
        let public = PublicKey::from_bytes(vrf_key).ok()?;
        let proof = VRFProof::from_bytes(self.proof.as_flattened()).ok()?;
        // Refuses what is no point in its one encoding, and the identity, which is the output of a key of zero.
        let io = VRFPreOut(self.output).attach_input_hash(&public, input(network, epoch, seed)).ok()?;
        public.dleq_verify(signing_context(PROOF).bytes(b""), &io, &proof, false).ok()?;
        Some(uniform(&io))
    }
}

fn input(network: &Key, epoch: u32, seed: &[u8; 32]) -> impl SigningTranscript {
    let mut bytes = [0; 68];
    bytes[..32].copy_from_slice(network);
    bytes[32..36].copy_from_slice(&epoch.to_be_bytes());
    bytes[36..].copy_from_slice(seed);
    signing_context(INPUT).bytes(&bytes)
}

fn uniform(io: &VRFInOut) -> [u8; 32] {
    io.make_bytes(OUTPUT)
}

/// The seed of the epoch after `epoch`, from that epoch's seed (`previous`) and the verified outputs of all its
/// tickets. The order of the outputs does not matter: they are sorted here.
pub fn next_seed(network: &Key, epoch: u32, previous: &[u8; 32], outputs: &mut [[u8; 32]]) -> [u8; 32] {
    outputs.sort_unstable();
    let mut hasher = blake3::Hasher::new_derive_key(SEED);
    hasher.update(network).update(&epoch.to_be_bytes()).update(previous);
    hasher.update(outputs.as_flattened());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NETWORK: Key = [7; 32];
    const EPOCH_SEED: [u8; 32] = [9; 32];

    fn secret(n: u8) -> VrfSecret {
        VrfSecret::from_seed([n; 32])
    }

    #[test]
    fn a_ticket_has_96_bytes_and_is_the_same_on_every_machine() {
        let ticket = secret(1).draw(&NETWORK, 5, &EPOCH_SEED);
        assert_eq!(ticket, secret(1).draw(&NETWORK, 5, &EPOCH_SEED));
        let bytes = postcard::to_allocvec(&ticket).expect("encodes");
        assert_eq!(bytes.len(), 96);
        assert_eq!(postcard::from_bytes::<Ticket>(&bytes).expect("decodes"), ticket);
        let json = serde_json::to_string(&ticket).expect("encodes");
        assert_eq!(serde_json::from_str::<Ticket>(&json).expect("decodes"), ticket);

        let output = ticket.verify(&secret(1).public(), &NETWORK, 5, &EPOCH_SEED).expect("verifies");
        let hex = data_encoding::HEXLOWER.encode(&output);
        assert_eq!(hex, "5cb4679dc12008213e06c962cd9d9d8512005e4c376b7a78b35e7a6dd0da5f0c");
    }

    #[test]
    fn draws_differ_by_key_network_epoch_and_seed() {
        let mut outputs = Vec::new();
        for (key, network, epoch, seed) in
            [(1, 7, 5, 9), (2, 7, 5, 9), (1, 8, 5, 9), (1, 7, 6, 9), (1, 7, 5, 10)]
        {
            let ticket = secret(key).draw(&[network; 32], epoch, &[seed; 32]);
            let output = ticket.verify(&secret(key).public(), &[network; 32], epoch, &[seed; 32]);
            outputs.push((ticket.output, output.expect("verifies")));
        }
        for (i, a) in outputs.iter().enumerate() {
            assert!(outputs[..i].iter().all(|b| a.0 != b.0 && a.1 != b.1));
        }
    }

    /// Who holds the key can make as many proofs as they like. The result is one.
    #[test]
    fn another_proof_gives_the_same_result() {
        let tickets = [b"one", b"two"].map(|nonce| secret(1).draw_with(nonce, &NETWORK, 5, &EPOCH_SEED));
        assert_ne!(tickets[0].proof, tickets[1].proof);
        let [a, b] = tickets.map(|t| t.verify(&secret(1).public(), &NETWORK, 5, &EPOCH_SEED));
        assert!(a.is_some() && a == b);
    }

    /// A key of zero would have one output, the identity, that everybody can prove.
    #[test]
    fn the_identity_is_neither_a_key_nor_an_output() {
        let ticket = secret(1).draw(&NETWORK, 5, &EPOCH_SEED);
        assert_eq!(ticket.verify(&[0; 32], &NETWORK, 5, &EPOCH_SEED), None);
        let none = Ticket { output: [0; 32], ..ticket };
        assert_eq!(none.verify(&secret(1).public(), &NETWORK, 5, &EPOCH_SEED), None);
        // For the key of zero both equations hold with any response, so the proof alone would not keep it out.
        let identity = PublicKey::from_bytes(&[0; 32]).expect("the identity decodes");
        assert!(VRFPreOut([0; 32]).attach_input_hash(&identity, input(&NETWORK, 5, &EPOCH_SEED)).is_err());
    }

    #[test]
    fn a_secret_does_not_show_in_the_log() {
        let text = format!("{:?}", secret(3));
        assert!(text.len() < 30 && !text.contains("3, 3"), "{text}");
    }

    /// Each bit of 2,000 draws is 1 about half the time: 256 bits, each within five standard deviations.
    #[test]
    fn draws_are_uniform() {
        let (key, n) = (secret(4), 2000_u32);
        let mut ones = [0_u32; 256];
        for epoch in 0..n {
            let io = key.0.vrf_create_hash(input(&NETWORK, epoch, &EPOCH_SEED));
            let bytes = uniform(&io);
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += u32::from(bytes[bit / 8] >> (bit % 8) & 1);
            }
        }
        let deviation = f64::from(n).sqrt() / 2.0;
        for count in ones {
            assert!((f64::from(count) - f64::from(n) / 2.0).abs() < 5.0 * deviation, "{count} of {n}");
        }
    }

    #[test]
    fn the_next_seed_depends_on_everything_but_the_order() {
        let outputs = [[1; 32], [2; 32], [3; 32]];
        let seed = |network: u8, epoch, previous: u8, outputs: &[[u8; 32]]| {
            next_seed(&[network; 32], epoch, &[previous; 32], &mut outputs.to_vec())
        };
        let one = seed(1, 2, 3, &outputs);
        assert_eq!(one, seed(1, 2, 3, &[[3; 32], [1; 32], [2; 32]]));
        let others = [
            seed(2, 2, 3, &outputs),
            seed(1, 3, 3, &outputs),
            seed(1, 2, 4, &outputs),
            seed(1, 2, 3, &outputs[1..]),
            seed(1, 2, 3, &[]),
            seed(1, 2, 3, &[[1; 32], [2; 32], [4; 32]]),
        ];
        for (i, a) in others.iter().enumerate() {
            assert!(*a != one && others[..i].iter().all(|b| a != b));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_true_ticket_is_accepted_and_anything_else_is_refused(
            key: [u8; 32], network: Key, epoch: u32, seed: [u8; 32],
            flip in 0usize..96, bit in 0u8..8, other: [u8; 32], other_epoch: u32,
        ) {
            let secret = VrfSecret::from_seed(key);
            let public = secret.public();
            let ticket = secret.draw(&network, epoch, &seed);
            prop_assert!(ticket.verify(&public, &network, epoch, &seed).is_some());
            prop_assert!(ticket.verify(&public, &other, epoch, &seed).is_none());
            prop_assert!(ticket.verify(&public, &network, epoch, &other).is_none());
            prop_assert!(ticket.verify(&other, &network, epoch, &seed).is_none());
            if other_epoch != epoch {
                prop_assert!(ticket.verify(&public, &network, other_epoch, &seed).is_none());
            }
            // Somebody else's ticket, and parts of two tickets, of two keys or of two epochs.
            let theirs = VrfSecret::from_seed(other).draw(&network, epoch, &seed);
            let next = secret.draw(&network, epoch.wrapping_add(1), &seed);
            for foreign in [theirs, next] {
                let mixed = [
                    foreign,
                    Ticket { output: foreign.output, ..ticket },
                    Ticket { proof: foreign.proof, ..ticket },
                    Ticket { proof: [ticket.proof[0], foreign.proof[1]], ..ticket },
                ];
                for forged in mixed {
                    prop_assert!(forged.verify(&public, &network, epoch, &seed).is_none());
                }
            }
            let mut bytes = postcard::to_allocvec(&ticket)?;
            bytes[flip] ^= 1 << bit;
            let altered: Ticket = postcard::from_bytes(&bytes)?;
            prop_assert!(altered.verify(&public, &network, epoch, &seed).is_none());
        }

        #[test]
        fn garbage_is_refused_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), key: Key
        ) {
            match postcard::from_bytes::<Ticket>(&bytes) {
                Ok(ticket) => prop_assert!(ticket.verify(&key, &NETWORK, 5, &EPOCH_SEED).is_none()),
                Err(_) => prop_assert!(bytes.len() < 96),
            }
        }
    }
}
