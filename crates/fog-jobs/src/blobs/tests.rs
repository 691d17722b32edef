use super::*;
use proptest::prelude::*;

const CHUNK: usize = CHUNK_BYTES as usize;

fn store() -> (tempfile::TempDir, BlobStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    (folder, store)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[test]
fn what_is_put_can_be_read() {
    let (_folder, store) = store();
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
        let content = bytes(len);
        let blob = store.put_bytes(&content).unwrap();
        blob.validate().unwrap();
        assert_eq!(blob.hash, *blake3::hash(&content).as_bytes());
        assert_eq!(store.read(&blob.hash).unwrap(), content);
        assert_eq!(store.describe(&blob.hash).unwrap(), blob);
        let joined: Vec<u8> =
            (0..blob.chunks.len() as u32).flat_map(|index| store.read_chunk(&blob, index).unwrap()).collect();
        assert_eq!(joined, content);
        assert!(store.missing(&blob).is_empty() && store.has(&blob.hash));
    }
}

#[test]
fn chunks_survive_a_restart_and_make_the_blob() {
    let (_from, source) = store();
    let content = bytes(4 * CHUNK + 10);
    let blob = source.put_bytes(&content).unwrap();
    let (folder, target) = store();
    for index in [3, 0, 4] {
        target.put_chunk(&blob, index, &source.read_chunk(&blob, index).unwrap()).unwrap();
    }
    fs::write(folder.path().join("tmp/99"), b"half a chunk").unwrap();
    let target = BlobStore::open(folder.path()).unwrap();
    assert_eq!(files(&folder.path().join("tmp")), 0);
    assert_eq!(target.missing(&blob), [1, 2]);
    assert!(matches!(target.assemble(&blob), Err(BlobError::Missing { missing, .. }) if missing == [1, 2]));
    for index in [1, 2, 2] {
        target.put_chunk(&blob, index, &source.read_chunk(&blob, index).unwrap()).unwrap();
    }
    let path = target.assemble(&blob).unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    assert_eq!(files(folder.path()), 1, "chunks stay behind");
    target.remove(&blob).unwrap();
    target.remove(&blob).unwrap();
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn wrong_chunks_are_refused() {
    let (folder, store) = store();
    let blob = BlobRef { hash: [1; 32], size: 10, chunks: vec![*blake3::hash(&bytes(10)).as_bytes()] };
    let mut wrong = bytes(10);
    wrong[9] ^= 1;
    assert!(matches!(store.put_chunk(&blob, 0, &wrong), Err(BlobError::WrongHash { .. })));
    assert!(matches!(store.put_chunk(&blob, 0, &bytes(9)), Err(BlobError::WrongHash { .. })));
    assert!(matches!(store.put_chunk(&blob, 1, &bytes(10)), Err(BlobError::NoSuchChunk { .. })));
    assert_eq!(files(folder.path()), 0);
    // The chunk is right, but the blob's own hash is not its content's.
    store.put_chunk(&blob, 0, &bytes(10)).unwrap();
    assert!(matches!(store.assemble(&blob), Err(BlobError::WrongHash { what: "a blob", .. })));
    assert!(!store.has(&blob.hash));
}

#[test]
fn damage_on_disk_is_seen() {
    let (folder, store) = store();
    let content = bytes(CHUNK + 1);
    let blob = store.put_bytes(&content).unwrap();
    let path = store.path(&blob.hash).unwrap();
    let mut damaged = content.clone();
    damaged[5] ^= 1;
    fs::write(&path, &damaged).unwrap();
    assert!(store.read(&blob.hash).is_err() && store.describe(&blob.hash).is_err());
    assert!(store.read_chunk(&blob, 0).is_err() && store.read_chunk(&blob, 1).is_ok());
    // A damaged chunk of an unfinished blob is thrown away and comes again.
    fs::remove_file(&path).unwrap();
    store.put_chunk(&blob, 0, &content[..CHUNK]).unwrap();
    store.put_chunk(&blob, 1, &content[CHUNK..]).unwrap();
    let chunk = store.path_of("chunk", &blob.chunks[1]);
    fs::write(chunk, b"?").unwrap();
    assert!(matches!(store.assemble(&blob), Err(BlobError::Missing { missing, .. }) if missing == [1]));
    store.put_chunk(&blob, 1, &content[CHUNK..]).unwrap();
    store.assemble(&blob).unwrap();
    assert_eq!(files(folder.path()), 1);
}

#[test]
fn too_much_is_refused_and_leaves_nothing() {
    let (folder, store) = store();
    assert!(matches!(store.put_reader(io::repeat(7)), Err(BlobError::TooLarge)));
    assert_eq!(files(folder.path()), 0);
}

#[cfg(unix)]
#[test]
fn links_and_devices_are_not_read() {
    let (folder, store) = store();
    let secret = folder.path().join("secret");
    fs::write(&secret, b"secret").unwrap();
    let link = folder.path().join("output");
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    assert!(matches!(store.put_file(&link), Err(BlobError::NotAFile(_))));
    assert!(matches!(store.put_file(Path::new("/dev/zero")), Err(BlobError::NotAFile(_))));
    assert!(matches!(store.put_file(folder.path()), Err(BlobError::NotAFile(_))));
    assert!(matches!(store.put_file(&folder.path().join("none")), Err(BlobError::Io { .. })));
    store.put_file(&secret).unwrap();
}

#[test]
fn a_full_disk_is_named() {
    let full = failed(Path::new("x"), io::Error::from(io::ErrorKind::StorageFull));
    assert_eq!(full.to_string(), "the disk is full: x");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn reads_in_any_pieces_make_the_same_blob(len in 0usize..700_000, piece in 1usize..100_000) {
        struct Pieces<'a>(&'a [u8], usize);
        impl Read for Pieces<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let most = self.1.min(buffer.len());
                (&mut self.0).take(most as u64).read(buffer)
            }
        }
        let (_folder, store) = store();
        let content = bytes(len);
        let whole = store.put_bytes(&content).unwrap();
        prop_assert_eq!(store.put_reader(Pieces(&content, piece)).unwrap(), whole);
    }
}
