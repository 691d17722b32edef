use super::*;
use crate::worker::WasiState;
use proptest::prelude::*;

fn state() -> State {
    State {
        module: [7; 32],
        number: 3,
        totals: Totals { fuel: 1, cpu_ms: 2, wall_ms: 3, memory_peak: 4 },
        memory_pages: 1,
        globals: vec![("fog:global:0".into(), 65536)],
        frames: vec![1, 2, u64::MAX],
        stdout: 5,
        stderr: Said { tail: b"oh".to_vec(), line: Some(b"fog:".to_vec()) },
        deterministic: true,
        wasi: WasiState {
            open: Vec::new(),
            stdin_at: 9,
            monotonic: 10,
            seed: [1; 32],
            drawn: 11,
            sleep_until: Some(12),
            tree: Default::default(),
        },
    }
}

fn copy(file: &File) -> File {
    let mut copy = tempfile::tempfile().unwrap();
    let mut from = file.try_clone().unwrap();
    from.seek(SeekFrom::Start(0)).unwrap();
    io::copy(&mut from, &mut copy).unwrap();
    copy
}

fn bytes(file: &File) -> Vec<u8> {
    let (mut bytes, mut file) = (Vec::new(), copy(file));
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn read(file: File, memory: &mut [u8]) -> Result<State, CheckpointError> {
    let mut reader = Reader::open(file)?;
    memory.fill(0);
    reader.pages(|page, bytes| {
        if page.owner == Owner::Memory {
            let at = page.number as usize * PAGE;
            memory.get_mut(at..at + PAGE).ok_or("beyond")?.copy_from_slice(bytes);
        }
        Ok(())
    })?;
    Ok(reader.state().clone())
}

#[test]
fn only_what_changed_is_written_and_all_comes_back() {
    let mut memory = vec![0u8; 64 * PAGE];
    memory[3 * PAGE] = 1;
    memory[60 * PAGE + 17] = 2;
    let (mut file, mut book) = (tempfile::tempfile().unwrap(), Book::default());
    let mut write = |file: &mut File, memory: &[u8]| {
        book.write(file, state(), [(Owner::Memory, memory), (Owner::Stdout, b"hello")].into_iter()).unwrap()
    };
    let first = write(&mut file, &memory);
    assert_eq!(first.changed, first.bytes);
    assert!(first.bytes < 6 * PAGE as u64, "zeros are kept");
    let before = bytes(&file);
    let second = write(&mut file, &memory);
    assert!(second.changed < 2 * PAGE as u64, "{second:?}");
    assert_eq!(bytes(&file), before);
    memory[60 * PAGE] = 9;
    memory[20 * PAGE] = 9;
    memory[3 * PAGE] = 0;
    write(&mut file, &memory);
    let after = bytes(&file);
    // What did not change is where it was: standard output's page is the third.
    assert_eq!(before[3 * PAGE..4 * PAGE], after[3 * PAGE..4 * PAGE]);
    let mut found = vec![1; memory.len()];
    assert_eq!(read(copy(&file), &mut found).unwrap(), state());
    assert!(found == memory);

    // Another device goes on in the same slots.
    let mut book = Reader::open(copy(&file)).unwrap().into_book();
    let mut other = tempfile::tempfile().unwrap();
    book.write(&mut other, state(), [(Owner::Memory, &memory[..]), (Owner::Stdout, b"hello")].into_iter())
        .unwrap();
    assert_eq!(bytes(&other), after);
}

#[test]
fn damage_is_found_wherever_it_is() {
    let memory = vec![5u8; 4 * PAGE];
    let mut file = tempfile::tempfile().unwrap();
    Book::default().write(&mut file, state(), [(Owner::Memory, &memory[..])].into_iter()).unwrap();
    let whole = bytes(&file);
    let check = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        read(file, &mut vec![0; memory.len()])
    };
    assert!(check(&whole).is_ok());
    for at in (0..HEADER).chain((PAGE..whole.len()).step_by(97)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        assert!(matches!(check(&damaged), Err(CheckpointError::Bad(_))), "byte {at}");
    }
    for len in [0, 1, HEADER, PAGE, PAGE + 1, whole.len() - 1, whole.len() - PAGE] {
        assert!(check(&whole[..len]).is_err(), "{len} bytes");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_in_peace(mut bytes in proptest::collection::vec(any::<u8>(), 0..9000), magic: bool) {
        if magic && bytes.len() > HEADER {
            bytes[..8].copy_from_slice(MAGIC);
        }
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &bytes).unwrap();
        prop_assert!(Reader::open(file).is_err());
    }
}
