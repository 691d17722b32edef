use super::*;
use crate::message::{JobMessage, MAX_MESSAGE_BYTES};
use proptest::collection::vec;
use proptest::prelude::*;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn worker() -> SigningKey {
    SigningKey::from_bytes(&[2; 32])
}

fn blob(size: u64) -> BlobRef {
    let chunks = (0..BlobRef::chunk_count(size)).map(|n| [n as u8; 32]).collect();
    BlobRef { hash: [7; 32], size, chunks }
}

fn spec() -> JobSpec {
    JobSpec {
        id: [9; 16],
        submitter: key().verifying_key().to_bytes(),
        name: "count".into(),
        module: blob(70_000),
        input: Some(blob(1_000_000)),
        args: vec!["-l".into()],
        limits: Limits::default(),
        price_limit: u128::MAX,
        created_ms: 1,
    }
}

fn receipt() -> Receipt {
    let usage = Usage { cpu_ms: 5, wall_ms: 6, memory_peak: 65_536 };
    Receipt {
        job: [9; 16],
        worker: worker().verifying_key().to_bytes(),
        submitter: key().verifying_key().to_bytes(),
        module: [7; 32],
        input: Some([7; 32]),
        output: [3; 32],
        output_bytes: 24,
        exit_code: -1,
        fuel: u64::MAX,
        usage,
        started_ms: 10,
        finished_ms: 16,
        price: crate::price::price_for(&usage),
    }
}

#[test]
fn papers_come_back_and_verify() {
    let signed = spec().sign(&key()).unwrap();
    let back = SignedSpec::decode(&signed.encode().unwrap()).unwrap();
    assert_eq!(back, signed);
    back.verify().unwrap();
    let signed = receipt().sign(&worker()).unwrap();
    signed.verify_for(&spec(), &worker().verifying_key().to_bytes()).unwrap();
    let settlement = signed.countersign(&key()).unwrap();
    let back = Settlement::decode(&settlement.encode().unwrap()).unwrap();
    assert_eq!(back, settlement);
    back.verify().unwrap();
}

#[test]
fn the_wrong_persons_key_is_refused() {
    assert!(spec().sign(&worker()).is_err());
    assert!(receipt().sign(&key()).is_err());
    assert!(receipt().sign(&worker()).unwrap().countersign(&worker()).is_err());
    let mut signed = spec().sign(&key()).unwrap();
    signed.spec.submitter = worker().verifying_key().to_bytes();
    assert_eq!(signed.verify(), Err(SpecError::Signature { what: "job" }));
    let mut signed = spec().sign(&key()).unwrap();
    signed.spec.price_limit -= 1;
    assert!(signed.verify().is_err());
}

#[test]
fn a_signature_of_one_kind_is_not_one_of_another() {
    // The worker signs a receipt; shown as the submitter's countersignature it must not hold, even if both are one person.
    let mut receipt = receipt();
    receipt.submitter = receipt.worker;
    let signed = receipt.sign(&worker()).unwrap();
    let forged = Settlement { submitter_signature: signed.signature, receipt: signed };
    assert_eq!(forged.verify(), Err(SpecError::Signature { what: "settlement" }));
}

#[test]
fn the_largest_papers_fit() {
    let mut largest = spec();
    largest.module = blob(MAX_BLOB_BYTES);
    largest.input = Some(blob(MAX_BLOB_BYTES));
    largest.name = "x".repeat(MAX_NAME_BYTES);
    largest.args = vec!["y".repeat(MAX_ARGS_BYTES)];
    let offer = JobMessage::Offer(largest.sign(&key()).unwrap());
    assert!(offer.encode().unwrap().len() < MAX_SPEC_BYTES);
    let data = vec![1; CHUNK_BYTES as usize];
    let chunk = JobMessage::Chunk { job: [1; 16], blob: [2; 32], index: u32::MAX, data };
    assert!(chunk.encode().unwrap().len() < MAX_MESSAGE_BYTES);
    let result = JobMessage::Result(receipt().sign(&worker()).unwrap(), blob(MAX_BLOB_BYTES));
    assert!(result.encode().unwrap().len() < MAX_MESSAGE_BYTES);
}

#[test]
fn fields_out_of_bounds_are_refused() {
    type Change = fn(&mut JobSpec);
    let table: [Change; 11] = [
        |s| s.name = "x".repeat(MAX_NAME_BYTES + 1),
        |s| s.module.size = 0,
        |s| s.module.size += CHUNK_BYTES,
        |s| s.module.size = MAX_BLOB_BYTES + 1,
        |s| s.module.chunks.clear(),
        |s| s.input = Some(BlobRef { size: u64::MAX, ..blob(1) }),
        |s| s.args = vec![String::new(); MAX_ARGS + 1],
        |s| s.args = vec!["a\0b".into()],
        |s| s.limits.seconds = 0,
        |s| s.limits.memory_bytes = u64::MAX,
        |s| s.limits.output_bytes = MAX_BLOB_BYTES + 1,
    ];
    for (number, change) in table.into_iter().enumerate() {
        let mut spec = spec();
        change(&mut spec);
        assert!(matches!(spec.validate(), Err(SpecError::Invalid(_))), "change {number}");
        assert!(spec.sign(&key()).is_err());
    }
}

#[test]
fn a_list_longer_than_its_bytes_is_refused_before_it_is_made() {
    // A `Want` that claims 2^32 - 1 chunks in a few bytes.
    let mut bytes = vec![3];
    bytes.extend([0; 48]);
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(matches!(JobMessage::decode(&bytes), Err(SpecError::Malformed { .. })));
    let long = vec![0; MAX_MESSAGE_BYTES + 1];
    assert!(matches!(JobMessage::decode(&long), Err(SpecError::TooLong { .. })));
}

fn any_message() -> impl Strategy<Value = JobMessage> {
    let id = any::<JobId>();
    prop_oneof![
        id.prop_map(|job| JobMessage::Accept { job }),
        (id, any::<String>()).prop_map(|(job, reason)| JobMessage::Decline { job, reason }),
        (id, any::<Hash>(), vec(any::<u32>(), 0..40)).prop_map(|(job, blob, chunks)| JobMessage::Want {
            job,
            blob,
            chunks
        }),
        (id, any::<Hash>(), any::<u32>(), vec(any::<u8>(), 0..2000))
            .prop_map(|(job, blob, index, data)| JobMessage::Chunk { job, blob, index, data }),
        (id, any::<bool>(), any::<String>()).prop_map(|(job, running, note)| JobMessage::Progress {
            job,
            running,
            note
        }),
        (id, any::<String>()).prop_map(|(job, reason)| JobMessage::Failed { job, reason }),
        (id, any::<String>()).prop_map(|(job, reason)| JobMessage::Cancel { job, reason }),
        Just(JobMessage::Offer(spec().sign(&key()).unwrap())),
        Just(JobMessage::Result(receipt().sign(&worker()).unwrap(), blob(24))),
        Just(JobMessage::Settled(receipt().sign(&worker()).unwrap().countersign(&key()).unwrap())),
    ]
}

proptest! {
    #[test]
    fn messages_come_back(message in any_message()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(JobMessage::decode(&bytes).unwrap(), message);
    }

    #[test]
    fn cut_or_longer_messages_are_refused(message in any_message(), cut in any::<prop::sample::Index>(), more in 1usize..9) {
        let mut bytes = message.encode().unwrap();
        prop_assert!(JobMessage::decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.extend(vec![0; more]);
        prop_assert!(JobMessage::decode(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..3000)) {
        let _ = JobMessage::decode(&bytes);
        let _ = SignedSpec::decode(&bytes);
        let _ = Settlement::decode(&bytes);
    }

    #[test]
    fn any_change_of_a_signed_paper_is_seen(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let signed = spec().sign(&key()).unwrap();
        let mut bytes = signed.encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = SignedSpec::decode(&bytes) {
            // Some bits of a length's encoding may be written in two ways.
            prop_assert!(other == signed || other.verify().is_err());
        }
    }
}
