//! States as a stranger may make them.

use super::guest::Guest;
use super::*;

struct Quiet;

impl Streams for Quiet {
    fn write(&mut self, _: StreamKind, _: &[u8]) -> Result<(), RunError> {
        Ok(())
    }

    fn note(&mut self, _: &str) {}
}

struct NoWait;

impl Waits for NoWait {
    fn sleep(&self, _: Instant, _: bool) -> Result<bool, RunError> {
        Ok(true)
    }
}

fn wasi() -> Wasi<Quiet> {
    Wasi::new(Quiet, Vfs::new(1000), Clock::new(false), Chance::new([0; 32]), Arc::new(NoWait))
}

fn restored(state: WasiState) -> Result<Wasi<Quiet>, RunError> {
    let mut wasi = wasi();
    wasi.vfs.restore(&state.tree, 0)?;
    wasi.restore(state)?;
    Ok(wasi)
}

#[test]
fn open_files_that_cannot_be_are_refused() {
    let bad = |open: Vec<(u32, Open)>| {
        let result = restored(WasiState { open, ..wasi().state() });
        assert!(matches!(result.map(drop), Err(RunError::BadCheckpoint(_))));
    };
    bad((0..=MAX_OPEN as u32).map(|_| (0, Open::Stdin)).collect());
    bad(vec![(MAX_OPEN as u32, Open::Stdin)]);
    bad(vec![(u32::MAX, Open::Stdin)]);
    for path in ["", "/", "etc", "/out", "out/", "out/..", "in/../etc", "out/./a", "out//a", "out/a\0"] {
        bad(vec![(5, Open::Folder(path.into()))]);
    }
    bad(vec![(5, Open::Folder(format!("out/{}", "x".repeat(5000))))]);
    bad(vec![(5, Open::Input { index: 0, at: 0 })]);
    bad(vec![(5, Open::Output { id: 1, at: 0, append: false, read: true, write: true })]);
    // A folder that was removed while it was open is an honest program's.
    let open = vec![(5, Open::Folder("out/gone".into()))];
    let mut wasi = restored(WasiState { open, ..wasi().state() }).unwrap();
    let mut memory = [b'a'; 64];
    let made = wasi.path_create_directory(&mut Guest(&mut memory), 5, 0, 1);
    assert!(matches!(made, Err(Fail::Errno(Errno::NoEntry))));
}

#[test]
fn trees_that_cannot_be_are_refused() {
    let tree = |entries: &[(&str, Option<u64>)], files: &[(u64, u64)], next| vfs::Tree {
        entries: entries.iter().map(|(path, id)| ((*path).to_owned(), *id)).collect(),
        files: files.to_vec(),
        next,
    };
    let many: Vec<(u64, u64)> = (1..20_000).map(|id| (id, 0)).collect();
    for tree in [
        tree(&[], &[], u64::MAX),
        tree(&[("out/a", Some(u64::MAX - 1))], &[(u64::MAX - 1, 0)], u64::MAX),
        tree(&[], &[(1, 1001)], 2),
        tree(&[], &[(1, u64::MAX), (2, 2)], 3),
        tree(&[], &[(1, 0), (1, 0)], 2),
        tree(&[], &many, 20_000),
        tree(&[("out/a", Some(1))], &[], 2),
        tree(&[("out/a", Some(1)), ("out/b", Some(1))], &[(1, 0)], 2),
        tree(&[("out/a", None), ("out/a", None)], &[], 1),
        tree(&[("out/a", Some(1)), ("out/a/b", None)], &[(1, 0)], 2),
        tree(&[("out/a/b", None)], &[], 1),
        tree(&[("out", None)], &[], 1),
        tree(&[("in/a", None)], &[], 1),
        tree(&[("out/../a", None)], &[], 1),
        tree(&[("/etc/passwd", None)], &[], 1),
    ] {
        let result = restored(WasiState { tree: tree.clone(), ..wasi().state() });
        let refused = matches!(result.map(drop), Err(RunError::BadCheckpoint(_) | RunError::OutputLimit(_)));
        assert!(refused, "{tree:?}");
    }
}

#[test]
fn positions_and_clocks_at_their_ends_are_errors_or_nothing() {
    const FD: u32 = 5;
    let output = Open::Output { id: 1, at: u64::MAX, append: false, read: true, write: true };
    let state = WasiState {
        open: vec![(0, Open::Stdin), (3, Open::Folder("in".into())), (FD, output)],
        stdin_at: u64::MAX,
        monotonic: u64::MAX,
        seed: [1; 32],
        drawn: u64::MAX,
        sleep_until: Some(u64::MAX),
        tree: vfs::Tree { entries: vec![("out/f".into(), Some(1))], files: vec![(1, 4)], next: 2 },
    };
    let mut wasi = restored(state.clone()).unwrap();
    wasi.stdin = Some(tempfile::tempfile().unwrap());
    let mut memory = vec![0u8; 4096];
    // One buffer: 8 bytes at 64.
    (memory[0], memory[4]) = (64, 8);
    let g = &mut Guest(&mut memory);
    let (max, out) = (u64::MAX, 128);
    let fails = |call: Call| assert!(matches!(call, Err(Fail::Errno(_))), "{call:?}");
    wasi.fd_read(g, FD, 0, 1, out).unwrap();
    assert_eq!(g.u32(out).unwrap(), 0);
    // Not every system reads so far out.
    let _ = wasi.fd_read(g, 0, 0, 1, out);
    fails(wasi.fd_write(g, FD, 0, 1, out));
    fails(wasi.fd_pwrite(g, FD, 0, 1, max - 3, out));
    wasi.fd_pread(g, FD, 0, 1, max, out).unwrap();
    fails(wasi.fd_seek(g, FD, 1, 1, out));
    fails(wasi.fd_seek(g, FD, max, 0, out));
    fails(wasi.fd_allocate(g, FD, max, max));
    wasi.fd_filestat_get(g, FD, out).unwrap();
    wasi.fd_readdir(g, 3, 512, 512, max, out).unwrap();
    for clock in 0..4 {
        wasi.clock_time_get(g, clock, 0, out).unwrap();
    }
    wasi.random_get(g, 512, 512).unwrap();
    for resuming in [true, false] {
        wasi.resuming = resuming;
        // A clock, waited for as long as can be.
        g.put(1024, &[0; 48]).unwrap();
        g.put_u64(1024 + 24, max).unwrap();
        wasi.poll_oneoff(g, 1024, 2048, 1, out).unwrap();
    }
    // It can be put away again.
    let mut wasi = wasi.state();
    wasi.monotonic = max;
    restored(wasi).unwrap();
}
