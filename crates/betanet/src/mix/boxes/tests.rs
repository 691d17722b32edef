use super::*;
use crate::packet::{Hop, Tables};
use proptest::prelude::*;
use std::sync::LazyLock;
use x25519_dalek::{PublicKey, StaticSecret};

const NOW: u64 = 20_000 * 86_400;

fn block() -> Surb {
    static BLOCK: LazyLock<Surb> = LazyLock::new(|| {
        let sphinx_key = PublicKey::from(&StaticSecret::random()).to_bytes();
        let hop = Hop { relay: [1; 32], sphinx_key, delay: Duration::ZERO };
        Tables::default().reply_block(&[hop, hop], &[9; 32], [3; 16]).expect("builds").0
    });
    BLOCK.clone()
}

fn deposit(number: u64, blocks: usize, until: u64, tell: bool) -> Option<Checked> {
    let blocks = vec![block(); blocks];
    Some(Checked::Deposit(Deposited { id: [1; 32], number, until, tell, blocks }))
}

fn put(n: u8) -> Option<Checked> {
    Some(Checked::Put { id: [1; 32], payload: vec![n] })
}

/// What an answer says.
fn read(out: &Outgoing) -> (Report, Option<u8>) {
    match Answer::decode(&out.message) {
        Some(Answer::Put(report, payload)) => (report, payload.first().copied()),
        Some(Answer::Told(report)) => (report, None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn payloads_leave_with_blocks_in_either_order() {
    let (mut boxes, now) = (Boxes::default(), Instant::now());
    assert!(boxes.take(now, NOW, put(1)).is_empty(), "there is no such box");
    assert_eq!(boxes.counters().lost, 1);

    let told = boxes.take(now, NOW, deposit(1, 3, NOW + 100, true));
    assert_eq!(
        told.iter().map(read).collect::<Vec<_>>(),
        [(Report { sent: 1, number: 1, left: 2, waiting: 0 }, None)]
    );
    for n in [2, 3] {
        let out = boxes.take(now, NOW, put(n));
        assert_eq!(out.iter().map(|o| read(o).1).collect::<Vec<_>>(), [Some(n)]);
    }
    assert!(boxes.take(now, NOW, put(4)).is_empty() && boxes.take(now, NOW, put(5)).is_empty());
    assert_eq!((boxes.counters().waiting, boxes.counters().blocks), (2, 0));
    let out = boxes.take(now, NOW, deposit(2, 4, NOW + 100, false));
    let said: Vec<_> = out.iter().map(read).collect();
    assert_eq!(said[0], (Report { sent: 4, number: 2, left: 3, waiting: 1 }, Some(4)));
    assert_eq!(said[1], (Report { sent: 5, number: 2, left: 2, waiting: 0 }, Some(5)));
    let c = boxes.counters();
    assert_eq!((c.boxes, c.blocks, c.waiting, c.passed, c.refused), (1, 2, 0, 4, 0));
}

#[test]
fn blocks_and_payloads_and_boxes_have_their_time() {
    let (mut boxes, now) = (Boxes::default(), Instant::now());
    boxes.take(now, NOW, deposit(1, 2, NOW + 100, false));
    boxes.take(now, NOW, deposit(2, 2, NOW + 200, false));
    let report = |out: &[Outgoing]| out.first().map(|o| read(o).0.left);
    assert_eq!(report(&boxes.take(now, NOW, put(1))), Some(1), "of the newest, one is left");
    boxes.take(now, NOW, put(2));
    assert_eq!(report(&boxes.take(now, NOW, put(3))), Some(1), "the older ones are good still");
    assert!(boxes.take(now, NOW + 96, put(4)).is_empty(), "not in its last seconds");
    assert!(boxes.take(now, NOW + 96, deposit(3, 2, NOW + 96, false)).is_empty(), "too late");
    assert_eq!(boxes.counters().refused, 1);

    boxes.expire(now + WAITING_EXPIRY - Duration::from_secs(1), NOW + 96);
    assert_eq!((boxes.counters().waiting, boxes.counters().blocks), (1, 0));
    boxes.expire(now + WAITING_EXPIRY, NOW + 96);
    assert_eq!((boxes.counters().waiting, boxes.counters().lost), (0, 1));
    boxes.expire(now + BOX_EXPIRY - Duration::from_secs(1), NOW + 96);
    assert_eq!(boxes.counters().boxes, 1);
    boxes.expire(now + BOX_EXPIRY, NOW + 96);
    assert_eq!(boxes.counters().boxes, 0);
}

#[test]
fn boxes_and_descriptors_have_their_number() {
    let (mut boxes, now) = (Boxes::default(), Instant::now());
    for n in 0..=MAX_BOXES as u64 {
        let id = *blake3::hash(&n.to_le_bytes()).as_bytes();
        let blocks = vec![block(); 1];
        let request = Deposited { id, number: 1, until: u64::MAX, tell: false, blocks };
        boxes.take(now, NOW, Some(Checked::Deposit(request)));
    }
    assert_eq!((boxes.counters().boxes, boxes.counters().refused), (MAX_BOXES, 1));
    // Who has one is served still.
    let id = *blake3::hash(&0u64.to_le_bytes()).as_bytes();
    let again = Deposited { id, number: 2, until: u64::MAX, tell: true, blocks: vec![block()] };
    assert_eq!(boxes.take(now, NOW, Some(Checked::Deposit(again))).len(), 1);
}

#[test]
fn a_descriptor_is_kept_for_its_day_and_replaced_by_a_newer_one_alone() {
    use crate::sealed::{SALT_LEN, SEALED_LEN, header, signed_message};
    use ed25519_dalek::{Signer, SigningKey};
    let key = SigningKey::from_bytes(&[3; 32]);
    let blinded = key.verifying_key().to_bytes();
    let sealed = |revision: u64, fill: u8| {
        let mut bytes = header(&blinded, period(NOW), revision, &[0; SALT_LEN]);
        bytes.extend([fill; SEALED_LEN]);
        bytes.extend(key.sign(&signed_message(&bytes)).to_bytes());
        let request = crate::boxes::Request::Store(&bytes).encode();
        crate::boxes::Request::check(&request, &[5; 32], NOW)
    };
    let mut boxes = Boxes::default();
    let fetch = |boxes: &mut Boxes| {
        let request = Checked::Fetch { blinded, block: Box::new(block()) };
        let out = boxes.take(Instant::now(), NOW, Some(request));
        match Answer::decode(&out[0].message) {
            Some(Answer::Descriptor(bytes)) => Some(bytes[200]),
            Some(Answer::Nothing) => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fetch(&mut boxes), None);
    for (revision, fill, kept) in [(5, 1, 1), (4, 2, 1), (5, 3, 1), (6, 4, 4)] {
        assert!(sealed(revision, fill).is_some());
        boxes.take(Instant::now(), NOW, sealed(revision, fill));
        assert_eq!(fetch(&mut boxes), Some(kept));
    }
    assert_eq!((boxes.counters().refused, boxes.counters().descriptors), (2, 1));
    boxes.expire(Instant::now(), NOW + 86_400);
    assert_eq!(boxes.counters().descriptors, 1);
    boxes.expire(Instant::now(), NOW + 2 * 86_400);
    assert_eq!(fetch(&mut boxes), None);
}

proptest! {
    /// Whatever comes, the bounds hold, what is counted is what is there, and each payload leaves once at most.
    #[test]
    fn bounds_hold_and_nothing_is_sent_twice(
        steps in proptest::collection::vec((0u8..4, 1usize..5, 0u64..300, any::<bool>()), 0..400)
    ) {
        let (mut boxes, start, mut number) = (Boxes::default(), Instant::now(), 0u64);
        let (mut time, mut payload, mut used) = (0, 0u32, 0);
        let mut came = std::collections::HashSet::new();
        let mut deposited = 0;
        for (kind, n, by, tell) in steps {
            let now = start + Duration::from_secs(time);
            let request = match kind {
                0 => {
                    number += 1;
                    deposited += n;
                    deposit(number, n, NOW + time + 1 + by, tell)
                }
                1 | 2 => {
                    payload += 1;
                    Some(Checked::Put { id: [1; 32], payload: payload.to_le_bytes().to_vec() })
                }
                _ => {
                    time += by / 10;
                    boxes.expire(now, NOW + time);
                    continue;
                }
            };
            for out in boxes.take(now, NOW + time, request) {
                used += 1;
                if let Some(Answer::Put(_, bytes)) = Answer::decode(&out.message) {
                    prop_assert!(came.insert(bytes.to_vec()));
                }
            }
            let c = boxes.counters();
            let (held, waiting) = boxes.boxes.values().fold((0, 0), |(b, w), one| (b + one.blocks.len(), w + one.waiting.len()));
            prop_assert_eq!((c.blocks, c.waiting), (held, waiting));
            prop_assert!(held <= MAX_BLOCKS && waiting <= MAX_WAITING && used <= deposited);
            prop_assert_eq!(c.passed, came.len() as u64);
        }
    }

    #[test]
    fn each_number_is_taken_once(numbers in proptest::collection::vec(1u64..200, 0..300)) {
        let (mut taken, mut all, mut top) = (Numbers::default(), std::collections::HashSet::new(), 0);
        for n in numbers {
            let fresh = !all.contains(&n) && (n > top || top - n < 64);
            prop_assert_eq!(taken.take(n), fresh);
            if fresh {
                all.insert(n);
            }
            top = top.max(n);
        }
    }
}
