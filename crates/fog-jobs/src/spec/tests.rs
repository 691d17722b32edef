use super::*;
use crate::message::{
    Availability, Delivery, Fault, JobMessage, MAX_MESSAGE_BYTES, MAX_STATUS, Stage, Status,
};
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
        program: Program::Wasm { module: blob(70_000), deterministic: true },
        stdin: Some(blob(1_000_000)),
        inputs: Vec::new(),
        args: vec!["-l".into()],
        env: vec![("A".into(), "b=c".into())],
        limits: Limits::default(),
        class: Class::B,
        privacy: 0,
        network: false,
        deadline_ms: Some(5),
        checkpoint_seconds: 60,
        resume: None,
        sealed: false,
        price_limit: u128::MAX,
        created_ms: 1,
    }
}

fn module(spec: &mut JobSpec) -> &mut BlobRef {
    match &mut spec.program {
        Program::Wasm { module, .. } => module,
        Program::Container { .. } => panic!("not a module"),
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint { number: 3, blob: blob(500_000), fuel: 7, cpu_ms: 100, wall_ms: 120 }
}

fn outputs() -> Outputs {
    Outputs { stdout: blob(24), files: Some(blob(300_000)), checkpoint: None }
}

fn container(reference: &str, archive: Option<BlobRef>) -> Program {
    Program::Container { image: Image { reference: reference.into(), archive }, entrypoint: None }
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
        price: crate::price::price_for(&usage, Class::B),
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
    *module(&mut largest) = blob(MAX_BLOB_BYTES);
    largest.stdin = Some(blob(MAX_BLOB_BYTES));
    largest.inputs = (0..2).map(|n| Input { name: format!("{n}"), blob: blob(MAX_BLOB_BYTES) }).collect();
    largest.name = "x".repeat(MAX_NAME_BYTES);
    largest.args = vec!["y".repeat(MAX_ARGS_BYTES)];
    let offer = JobMessage::Offer(largest.sign(&key()).unwrap());
    assert!(offer.encode().unwrap().len() < MAX_SPEC_BYTES);
    let data = vec![1; CHUNK_BYTES as usize];
    let chunk = JobMessage::Chunk { job: [1; 16], blob: [2; 32], index: u32::MAX, data };
    assert!(chunk.encode().unwrap().len() < MAX_MESSAGE_BYTES);
    let large = blob(MAX_BLOB_BYTES);
    let checkpoint = Checkpoint { blob: large.clone(), ..checkpoint() };
    let outputs = Outputs { stdout: large.clone(), files: Some(large), checkpoint: Some(checkpoint) };
    let receipt = receipt().sign(&worker()).unwrap();
    let result = JobMessage::Result(Box::new(Delivery { receipt, outputs, nonce: Some([1; 32]) }));
    assert!(result.encode().unwrap().len() < MAX_MESSAGE_BYTES);
}

#[test]
fn fields_out_of_bounds_are_refused() {
    let input = |s: &mut JobSpec, name: &str| s.inputs.push(Input { name: name.into(), blob: blob(1) });
    type Spoil<'a> = &'a dyn Fn(&mut JobSpec);
    let table: [(&str, Spoil<'_>); 29] = [
        ("name", &|s| s.name = "x".repeat(MAX_NAME_BYTES + 1)),
        ("control", &|s| s.name = "a\nb".into()),
        ("empty", &|s| module(s).size = 0),
        ("chunks", &|s| module(s).size += CHUNK_BYTES),
        ("large", &|s| module(s).size = MAX_BLOB_BYTES + 1),
        ("no chunks", &|s| module(s).chunks.clear()),
        ("stdin", &|s| s.stdin = Some(BlobRef { size: u64::MAX, ..blob(1) })),
        ("many args", &|s| s.args = vec![String::new(); MAX_ARGS + 1]),
        ("zero", &|s| s.args = vec!["a\0b".into()]),
        ("time", &|s| s.limits.seconds = 0),
        ("memory", &|s| s.limits.memory_bytes = u64::MAX),
        ("output", &|s| s.limits.output_bytes = MAX_BLOB_BYTES + 1),
        ("cores", &|s| s.limits.millicores = 16_001),
        ("cores", &|s| s.limits.millicores = 499),
        ("pids", &|s| s.limits.pids = 0),
        ("storage", &|s| s.limits.storage_bytes = u64::MAX),
        ("env", &|s| s.env = vec![("A=B".into(), String::new())]),
        ("env", &|s| s.env = vec![(String::new(), String::new())]),
        ("env", &|s| s.env = vec![("A".into(), "x".repeat(MAX_ARGS_BYTES))]),
        ("privacy", &|s| s.privacy = 4),
        ("checkpoints", &|s| s.checkpoint_seconds = 4),
        ("all together", &|s| {
            (0..5).for_each(|n| {
                s.inputs.push(Input { name: format!("{n}"), blob: blob(MAX_BLOB_BYTES) });
            });
        }),
        ("escapes", &|s| input(s, "../a")),
        ("absolute", &|s| input(s, "/a")),
        ("backslash", &|s| input(s, "a\\b")),
        ("twice", &|s| (0..2).for_each(|_| input(s, "a"))),
        ("file and folder", &|s| ["a", "a/b"].iter().for_each(|n| input(s, n))),
        ("moves a sealed one", &|s| (s.sealed, s.resume) = (true, Some(checkpoint()))),
        ("image", &|s| s.program = container("busybox:latest", None)),
    ];
    for (what, change) in table {
        let mut spec = spec();
        change(&mut spec);
        assert!(matches!(spec.validate(), Err(SpecError::Invalid(_))), "{what}");
        assert!(spec.sign(&key()).is_err());
    }
}

#[test]
fn an_image_is_fixed_by_its_content() {
    let digest = format!("docker.io/library/busybox@sha256:{}", "0a".repeat(32));
    for good in [container(&digest, None), container("busybox:1", Some(blob(5)))] {
        let mut spec = spec();
        spec.program = good;
        spec.validate().unwrap();
        assert_ne!(spec.program.hash(), container("other", None).hash());
    }
}

#[test]
fn hashes_tell_everything_apart() {
    let mut one = spec();
    assert_eq!(one.inputs_hash(), Some([7; 32]), "a single one keeps its own hash, as in the first version");
    one.inputs = vec![Input { name: "a".into(), blob: blob(1) }];
    let mut two = one.clone();
    two.inputs[0].name = "b".into();
    let mut three = one.clone();
    three.stdin = None;
    let all: std::collections::BTreeSet<_> = [&one, &two, &three].map(JobSpec::inputs_hash).into();
    assert_eq!(all.len(), 3);
    let plain = Outputs { stdout: blob(24), files: None, checkpoint: None };
    let given_back = Outputs { checkpoint: Some(checkpoint()), ..plain.clone() };
    assert_eq!(plain.hash(), [7; 32]);
    let all: std::collections::BTreeSet<_> = [plain.hash(), outputs().hash(), given_back.hash()].into();
    assert_eq!(all.len(), 3);
    assert_ne!(plain.result_hash(0), plain.result_hash(1));
    let seal = commitment(&[1; 16], &[2; 32], &plain.result_hash(0), &[3; 32]);
    assert_ne!(seal, commitment(&[1; 16], &[9; 32], &plain.result_hash(0), &[3; 32]));
    assert_ne!(seal, commitment(&[1; 16], &[2; 32], &plain.result_hash(0), &[4; 32]));
}

#[test]
fn a_part_is_billed_as_a_part() {
    let mut resumed = spec();
    resumed.resume = Some(checkpoint());
    let limit_ms = u64::from(resumed.limits.seconds) * 1000;
    assert!(resumed.price_ceiling() < spec().price_ceiling());
    let person = worker().verifying_key().to_bytes();
    let mut whole = receipt();
    whole.usage.wall_ms = limit_ms;
    whole.finished_ms = whole.started_ms + limit_ms;
    whole.price = crate::price::price_for(&whole.usage, Class::B);
    let signed = whole.sign(&worker()).unwrap();
    signed.verify_for(&spec(), &person).unwrap();
    assert!(signed.verify_for(&resumed, &person).is_err(), "all devices together keep the limit");
}

#[test]
fn a_list_longer_than_its_bytes_is_refused_before_it_is_made() {
    // A `Want` that claims 2^32 - 1 chunks in a few bytes.
    let mut bytes = vec![3];
    bytes.extend([0; 48]);
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(matches!(JobMessage::decode(&bytes), Err(SpecError::Malformed { .. })));
    let status = Status { job: [1; 16], stage: Stage::Running, permille: None, note: String::new() };
    let many = JobMessage::Status(vec![status.clone(); MAX_STATUS + 1]).encode().unwrap();
    assert!(JobMessage::decode(&many).is_err());
    let wordy = JobMessage::Status(vec![Status { note: "x".repeat(5000), ..status }]).encode().unwrap();
    assert!(JobMessage::decode(&wordy).is_err());
    let long = vec![0; MAX_MESSAGE_BYTES + 1];
    assert!(matches!(JobMessage::decode(&long), Err(SpecError::TooLong { .. })));
}

fn any_stage() -> impl Strategy<Value = Stage> {
    prop::sample::select(vec![Stage::Fetching, Stage::Waiting, Stage::Running, Stage::Paused, Stage::Done])
}

fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..100).prop_map(|chars| chars.into_iter().collect())
}

fn any_message() -> impl Strategy<Value = JobMessage> {
    let id = any::<JobId>();
    let status = (id, any_stage(), any::<Option<u16>>(), any_text())
        .prop_map(|(job, stage, permille, note)| Status { job, stage, permille, note });
    let fault = prop::sample::select(vec![Fault::Program, Fault::Device, Fault::Owner]);
    let delivery = any::<Option<[u8; 32]>>().prop_map(|nonce| Delivery {
        receipt: receipt().sign(&worker()).unwrap(),
        outputs: outputs(),
        nonce,
    });
    let offers =
        (any::<[bool; 5]>(), any::<[u32; 3]>(), any_text()).prop_map(|(b, n, reason)| Availability {
            takes: b[0],
            allowed: b[1],
            reason,
            wasm: b[2],
            container: b[3],
            network: b[4],
            slots: n[0],
            waiting: n[1],
            room: n[2],
            limits: Limits::default(),
        });
    prop_oneof![
        id.prop_map(|job| JobMessage::Accept { job }),
        (id, any_text()).prop_map(|(job, reason)| JobMessage::Decline { job, reason }),
        (id, any::<Hash>(), vec(any::<u32>(), 0..40)).prop_map(|(job, blob, chunks)| JobMessage::Want {
            job,
            blob,
            chunks
        }),
        (id, any::<Hash>(), any::<u32>(), vec(any::<u8>(), 0..2000))
            .prop_map(|(job, blob, index, data)| JobMessage::Chunk { job, blob, index, data }),
        vec(status, 0..20).prop_map(JobMessage::Status),
        (id, any::<u64>(), vec(any::<u8>(), 0..500)).prop_map(|(job, offset, data)| JobMessage::Log {
            job,
            offset,
            data
        }),
        id.prop_map(|job| JobMessage::Checkpoint { job, checkpoint: checkpoint() }),
        (id, any::<u32>()).prop_map(|(job, number)| JobMessage::Kept { job, number }),
        (id, any::<Hash>()).prop_map(|(job, commitment)| JobMessage::Commit { job, commitment }),
        id.prop_map(|job| JobMessage::Reveal { job }),
        (id, fault, any_text()).prop_map(|(job, fault, reason)| JobMessage::Failed { job, fault, reason }),
        (id, any_text()).prop_map(|(job, reason)| JobMessage::Cancel { job, reason }),
        Just(JobMessage::Offer(spec().sign(&key()).unwrap())),
        delivery.prop_map(|delivery| JobMessage::Result(Box::new(delivery))),
        Just(JobMessage::Settled(receipt().sign(&worker()).unwrap().countersign(&key()).unwrap())),
        Just(JobMessage::Ask),
        offers.prop_map(JobMessage::Offers),
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
