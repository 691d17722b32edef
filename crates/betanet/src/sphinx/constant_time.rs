//! Checks that no branch and no index depends on a secret, by valgrind's memcheck.
//!
//! Memcheck follows every bit that was never written, and reports a jump or an address that depends on one. Here
//! secrets are told to it as such bits (Langley's ctgrind, 2010). What may be seen from outside is told to it as written
//! at the place where it becomes known: whether the MAC was right, what the sender tells this relay, and what leaves it.
//!
//! ```sh
//! cargo test -p betanet --lib --release --no-run --config profile.release.strip=false       # prints the path
//! valgrind PATH --ignored --test-threads 1 sphinx::constant_time
//! ```
//!
//! Each test first makes an error on purpose, `valgrind_sees`, and fails at any other.
//!
//! It has to be a release build: debug builds check for overflows, which are jumps that depend on what is added.
//!
//! Valgrind's processor has AVX2 and AES, but neither AVX-512 nor SHA instructions: `Backend::Ifma` is not run, and
//! SHA-256 is the portable one.

use super::unwrap::{Told, finish, open};
use super::*;
use crate::x25519::{Backend, Table};
use rand::{CryptoRng, SeedableRng, TryCryptoRng, TryRng};
use rand_chacha::ChaCha20Rng;
use std::convert::Infallible;
use std::time::Duration;
use x25519_dalek::{PublicKey, StaticSecret};

/// Requests to valgrind, from its `valgrind.h` and `memcheck.h`.
const RUNNING_ON_VALGRIND: usize = 0x1001;
const COUNT_ERRORS: usize = 0x1201;
const MAKE_MEM_UNDEFINED: usize = 0x4d43_0001;
const MAKE_MEM_DEFINED: usize = 0x4d43_0002;

/// Asks valgrind. On a processor of silicon this does nothing and gives 0.
fn request(what: usize, address: usize, len: usize) -> usize {
    let arguments = [what, address, len, 0, 0, 0];
    let mut answer = 0;
    // SAFETY: rotations of a register by 128 bits in all and an exchange of one with itself change nothing. Valgrind
    // takes them for its sign, reads the arguments and writes rdx.
    #[allow(unsafe_code)]
    unsafe {
        std::arch::asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") &raw const arguments,
            inout("rdx") answer,
        );
    }
    answer
}

/// Memcheck is to take these bytes for secret.
fn secret(bytes: &mut [u8]) {
    request(MAKE_MEM_UNDEFINED, bytes.as_ptr() as usize, bytes.len());
}

/// Memcheck is to take these bytes for known to everybody.
fn public(bytes: &mut [u8]) {
    request(MAKE_MEM_DEFINED, bytes.as_ptr() as usize, bytes.len());
}

fn known(bit: bool) -> bool {
    let mut byte = [u8::from(bit)];
    public(&mut byte);
    byte[0] == 1
}

fn errors() -> usize {
    request(COUNT_ERRORS, 0, 0)
}

/// Whether valgrind runs, and reports what it should.
fn valgrind_sees() {
    assert!(request(RUNNING_ON_VALGRIND, 0, 0) > 0, "run this by valgrind; the module says how");
    let before = errors();
    let mut bytes = [7; 8];
    secret(&mut bytes);
    let table: Vec<u8> = (0..=255).collect();
    // On purpose, an index that depends on a secret: it must be reported.
    let found = std::hint::black_box(&table)[usize::from(std::hint::black_box(bytes[3]))];
    std::hint::black_box(found);
    assert!(errors() > before, "valgrind does not see an index that depends on a secret");
}

/// A generator whose numbers are secret.
struct SecretRng(ChaCha20Rng);

impl TryRng for SecretRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)?;
        secret(bytes);
        Ok(())
    }
}

impl TryCryptoRng for SecretRng {}

const MESSAGE: &[u8; 22] = b"for no stranger's eyes";
const TO: Destination = Destination { address: [9; 32], identifier: [0; IDENTIFIER_LEN] };

/// Keys and tables of two relays.
fn relays() -> (Vec<Key>, Vec<Table>) {
    let secrets: Vec<Key> = vec![[1; 32], [2; 32]];
    let table = |s: &Key| Table::new(PublicKey::from(&StaticSecret::from(*s)).as_bytes()).expect("honest");
    let tables = secrets.iter().map(table).collect();
    (secrets, tables)
}

fn path(tables: &[Table]) -> Vec<Hop<'_>> {
    tables.iter().map(|key| Hop { address: [7; 32], key, delay: Duration::from_millis(3) }).collect()
}

fn packets(version: Version, rng: &mut impl CryptoRng, tables: &[Table], count: usize) -> Vec<Vec<u8>> {
    let packet = |_| {
        let mut packet = Vec::new();
        let mut message = *MESSAGE;
        secret(&mut message);
        let builder = Builder::new(version, 500);
        builder.build(rng, &message, &path(tables), &TO, &mut packet).expect("builds");
        packet
    };
    (0..count).map(packet).collect()
}

/// A batch at a relay, whose secret key and all that follows from it is secret.
fn unwrap(backend: Backend, key: &Key, packets: &mut [Vec<u8>]) {
    let mut key = *key;
    secret(&mut key);
    let opened: Vec<_> = open(backend, &key, packets.iter().map(Vec::as_slice)).map(Result::unwrap).collect();
    let mut jobs = Vec::new();
    for (opened, packet) in opened.iter().zip(packets) {
        assert!(known(opened.is_authentic(packet)));
        let header = packet.first_chunk_mut().expect("long enough");
        let Told(mut plain) = opened.decrypt(header);
        public(&mut plain);
        let routed = Told(plain).apply(header).expect("well-formed");
        jobs.push((opened, routed, &mut packet[..]));
    }
    finish(backend, &mut jobs);
    for (_, _, packet) in jobs {
        public(packet);
    }
}

#[test]
#[ignore = "takes valgrind"]
fn unwrapping_does_nothing_that_depends_on_a_secret() {
    valgrind_sees();
    let (secrets, tables) = relays();
    for backend in Backend::available() {
        for version in [Version::INITIAL, Version::SINGLE_SEED] {
            // Groups of every kind: a whole batch, eight, four, some lanes, one alone.
            for count in [41, 13, 2, 1] {
                let mut rng = ChaCha20Rng::from_seed([3; 32]);
                let mut batch = packets(version, &mut rng, &tables, count);
                batch.iter_mut().for_each(|packet| public(packet));
                let before = errors();
                secrets.iter().for_each(|key| unwrap(backend, key, &mut batch));
                let found = errors() - before;
                let message = message(&batch[0]).expect("unaltered");
                assert_eq!(message, MESSAGE, "{}", backend.name());
                assert_eq!(found, 0, "{}, {count} packets: see what valgrind printed", backend.name());
            }
        }
    }
}

#[test]
#[ignore = "takes valgrind"]
fn building_does_nothing_that_depends_on_a_secret() {
    valgrind_sees();
    let (secrets, tables) = relays();
    let mut rng = SecretRng(ChaCha20Rng::from_seed([4; 32]));
    let before = errors();
    let mut batch = packets(Version::SINGLE_SEED, &mut rng, &tables, 3);
    let named = Destination { identifier: [5; IDENTIFIER_LEN], ..TO };
    let (block, _) = Surb::new(&mut rng, &path(&tables), &named).expect("builds");
    let mut block = block.to_bytes();
    assert_eq!(errors() - before, 0, "see what valgrind printed");
    batch.iter_mut().for_each(|packet| public(packet));
    public(&mut block);
    assert!(Surb::from_bytes(&block).is_ok());
    secrets.iter().for_each(|key| unwrap(Backend::Edwards, key, &mut batch));
    assert_eq!(message(&batch[0]).expect("unaltered"), MESSAGE);
}
