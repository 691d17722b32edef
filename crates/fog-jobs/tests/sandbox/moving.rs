//! Programs are stopped with a checkpoint and go on from it in another process, as they would on another device.

use super::files::unpack;
use super::{Run, program, runtime};
use fog_jobs::checkpoint::{Book, Owner, Reader, State, Totals};
use fog_jobs::prepare::{is_prepared, prepare};
use fog_jobs::{Checkpoint, EngineKind, Events, RunError, RunEvent, RunHandle, RunOutcome};
use std::time::Duration;

const WORK: &[u8] = include_bytes!("guests/work.wasm");

fn work(rounds: u32) -> Run {
    let prepared = prepare(WORK).unwrap();
    assert!(is_prepared(&prepared.module) && prepared.rewritten > 10);
    let mut run = Run::new(prepared.module);
    run.args = vec![rounds.to_string()];
    run.input = Some("the fog rolls in and the fog rolls out\n".repeat(500).into_bytes());
    run.deterministic = true;
    run.limits.seconds = 300;
    run.limits.output_bytes = 200 << 20;
    run
}

/// Takes the program away each time that it says something, up to so often, and lets it go on in another process and with the
/// next of the engines.
fn in_pieces(run: &mut Run, engines: &[EngineKind], most: usize) -> (RunOutcome, Vec<Checkpoint>) {
    let mut taken: Vec<Checkpoint> = Vec::new();
    runtime().block_on(async {
        for piece in 0.. {
            run.engine = engines[piece % engines.len()];
            let mut request = run.request();
            request.scratch = run.folder.path().join(format!("scratch-{}", piece % 2));
            if let Some(last) = taken.last() {
                let copy = run.folder.path().join("carried");
                std::fs::copy(&last.file, &copy).unwrap();
                request.resume = Some(copy);
            }
            let (queue, mut heard) = tokio::sync::mpsc::channel(1000);
            let handle = RunHandle::new(1.0);
            let steer = handle.clone();
            let sandbox = run.sandbox();
            let task = tokio::spawn(async move { sandbox.run(request, &handle, Events::to(queue)).await });
            // Its first word in this piece.
            while let Some(event) = heard.recv().await {
                if matches!(event, RunEvent::Progress { .. } | RunEvent::Log { .. }) && taken.len() < most {
                    steer.preempt();
                }
            }
            match task.await.unwrap() {
                Ok(outcome) => return (outcome, taken),
                Err(RunError::Preempted { checkpoint: Some(checkpoint) }) => taken.push(checkpoint),
                Err(other) => panic!("piece {piece}: {other:?}"),
            }
        }
        unreachable!()
    })
}

fn same(run: &mut Run, engines: &[EngineKind], most: usize, least: usize) {
    let whole = run.run().unwrap();
    assert_eq!(whole.exit_code, 0, "{}", whole.stderr_tail);
    let expected = (std::fs::read(&whole.stdout).unwrap(), whole.files.as_deref().map(unpack));
    let (outcome, taken) = in_pieces(run, engines, most);
    assert!(taken.len() >= least, "only {} pieces", taken.len());
    let found = (std::fs::read(&outcome.stdout).unwrap(), outcome.files.as_deref().map(unpack));
    assert!(found == expected, "{} pieces end differently", taken.len());
    assert_eq!(outcome.stderr_tail, whole.stderr_tail);
    // Numbers and totals go on.
    for (index, pair) in taken.windows(2).enumerate() {
        assert_eq!(pair[1].number, pair[0].number + 1, "{index}");
        assert!(pair[1].fuel >= pair[0].fuel && pair[1].wall_ms >= pair[0].wall_ms);
    }
    assert!(outcome.fuel > whole.fuel / 2, "{} of {}", outcome.fuel, whole.fuel);
}

pub(super) fn a_job_moves_and_ends_the_same() {
    same(&mut work(60_000), &[EngineKind::Jit], 5, 3);
}

pub(super) fn a_job_moves_between_engines() {
    same(&mut work(20_000), &[EngineKind::Jit, EngineKind::Interpreter], 6, 4);
}

/// Counts to a number in steps, with the count in memory and the way there on standard output.
const STEPS: &str = r#"
    (memory (export "memory") 4)
    (global $sum (export "sum") (mut i64) (i64.const 0))
    (func (export "_initialize") (i64.store (i32.const 64) (i64.const 1)) (i32.store8 (i32.const 32) (i32.const 46)))
    (func (export "fog_step") (param $n i64) (result i32) (local $i i64)
      (local.set $i (i64.load (i32.const 64)))
      (loop $l
        (global.set $sum (i64.add (i64.mul (global.get $sum) (i64.const 31)) (local.get $i)))
        (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (if (i64.gt_u (local.get $i) (i64.const 60000000)) (then
          (i64.store (i32.const 16) (global.get $sum))
          (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 8))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (return (i32.const 0))))
        (local.set $n (i64.sub (local.get $n) (i64.const 1)))
        (br_if $l (i64.gt_s (local.get $n) (i64.const 0))))
      (i64.store (i32.const 64) (local.get $i))
      (i32.store (i32.const 0) (i32.const 32)) (i32.store (i32.const 4) (i32.const 1))
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.const 1))"#;

pub(super) fn steps_move_between_engines() {
    let mut run = program(STEPS);
    // So that a step is as long wherever it runs.
    run.deterministic = true;
    run.limits.seconds = 300;
    let whole = run.run().unwrap();
    assert_eq!(whole.exit_code, 0);
    let expected = std::fs::read(&whole.stdout).unwrap();
    assert_eq!(expected.len(), 8);
    runtime().block_on(async {
        let mut carried = None;
        for piece in 0..3 {
            run.engine = [EngineKind::Jit, EngineKind::Interpreter, EngineKind::Jit][piece];
            let mut request = run.request();
            request.scratch = run.folder.path().join(format!("steps-{piece}"));
            request.resume = carried.take();
            let handle = RunHandle::new(1.0);
            if piece < 2 {
                let (queue, mut heard) = tokio::sync::mpsc::channel(1000);
                let (sandbox, steer) = (run.sandbox(), handle.clone());
                let task =
                    tokio::spawn(async move { sandbox.run(request, &handle, Events::to(queue)).await });
                while let Some(event) = heard.recv().await {
                    if matches!(event, RunEvent::Log { .. }) {
                        steer.preempt();
                    }
                }
                match task.await.unwrap() {
                    Err(RunError::Preempted { checkpoint: Some(checkpoint) }) => {
                        carried = Some(checkpoint.file);
                    }
                    other => panic!("piece {piece}: {other:?}"),
                }
            } else {
                let outcome = run.sandbox().run(request, &handle, Events::none()).await.unwrap();
                assert_eq!(std::fs::read(&outcome.stdout).unwrap(), expected);
            }
        }
    });
}

pub(super) fn a_checkpoint_now_and_then() {
    let run = work(150_000);
    let mut request = run.request();
    request.checkpoint_every = Some(Duration::from_millis(50));
    let (queue, mut heard) = tokio::sync::mpsc::channel(10_000);
    let result = runtime().block_on(run.sandbox().run(request, &RunHandle::new(1.0), Events::to(queue)));
    assert_eq!(result.unwrap().exit_code, 0);
    let mut numbers = Vec::new();
    let mut files = Vec::new();
    while let Ok(event) = heard.try_recv() {
        if let RunEvent::Checkpoint(checkpoint) = event {
            numbers.push(checkpoint.number);
            files.push(checkpoint);
        }
    }
    assert!(numbers.len() >= 2, "{numbers:?}");
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    // The last two are there, those before are not; what did not change is not written again.
    let last = &files[files.len() - 1];
    assert_eq!(std::fs::metadata(&last.file).unwrap().len(), last.bytes);
    assert!(files.len() < 3 || !files[0].file.exists());
    assert!(files[1..].iter().all(|checkpoint| checkpoint.changed <= checkpoint.bytes));
}

pub(super) fn an_unprepared_job_says_so() {
    let mut run = Run::new(WORK.to_vec());
    run.args = vec!["100000000".into()];
    run.limits.output_bytes = 200 << 20;
    run.limits.seconds = 120;
    let (queue, mut heard) = tokio::sync::mpsc::channel(1000);
    let handle = RunHandle::new(1.0);
    let (request, sandbox, steer) = (run.request(), run.sandbox(), handle.clone());
    runtime().block_on(async {
        let task = tokio::spawn(async move { sandbox.run(request, &handle, Events::to(queue)).await });
        let mut noted = false;
        while let Some(event) = heard.recv().await {
            match event {
                RunEvent::Log { .. } => steer.checkpoint(),
                RunEvent::Note(text) if text.contains("cannot move") => {
                    noted = true;
                    steer.preempt();
                }
                _ => {}
            }
        }
        assert!(noted);
        assert_eq!(task.await.unwrap().unwrap_err(), RunError::Preempted { checkpoint: None });
    });
}

pub(super) fn a_paused_job_can_be_taken_away() {
    let run = work(100_000_000);
    let (queue, mut heard) = tokio::sync::mpsc::channel(1000);
    let handle = RunHandle::new(1.0);
    let (request, sandbox, steer) = (run.request(), run.sandbox(), handle.clone());
    runtime().block_on(async {
        let task = tokio::spawn(async move { sandbox.run(request, &handle, Events::to(queue)).await });
        let mut asked = false;
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Log { .. }) && !std::mem::replace(&mut asked, true) {
                steer.set_share(0.0);
                tokio::time::sleep(Duration::from_millis(100)).await;
                steer.preempt();
            }
        }
        let error = task.await.unwrap().unwrap_err();
        assert!(matches!(error, RunError::Preempted { checkpoint: Some(_) }), "{error:?}");
    });
}

pub(super) fn a_sleeping_job_can_be_taken_away() {
    // Says a word, sleeps for 5 s, most of them elsewhere, says another.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 300) "word")
        (func $say
          (i32.store (i32.const 0) (i32.const 300)) (i32.store (i32.const 4) (i32.const 4))
          ;; What was written is told elsewhere than where the sleep's kind is, 0.
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 80))))
        (func (export "_start")
          (call $say)
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 24) (i64.const 5000000000))
          (drop (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200)))
          (call $say)))"#;
    let mut run = Run::new(prepare(&wat::parse_str(text).unwrap()).unwrap().module);
    let (outcome, taken) = in_pieces(&mut run, &[EngineKind::Jit, EngineKind::Interpreter], 1);
    assert_eq!(taken.len(), 1);
    assert_eq!(std::fs::read(outcome.stdout).unwrap(), b"wordword");
}

pub(super) fn damaged_checkpoints_are_refused() {
    let mut run = work(100_000_000);
    run.limits.seconds = 600;
    let handle = RunHandle::new(1.0);
    let (queue, mut heard) = tokio::sync::mpsc::channel(1000);
    let (request, sandbox, steer) = (run.request(), run.sandbox(), handle.clone());
    let taken = runtime().block_on(async {
        let task = tokio::spawn(async move { sandbox.run(request, &handle, Events::to(queue)).await });
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Log { .. }) {
                steer.preempt();
            }
        }
        match task.await.unwrap() {
            Err(RunError::Preempted { checkpoint: Some(checkpoint) }) => checkpoint,
            other => panic!("{other:?}"),
        }
    });
    let whole = std::fs::read(taken.file).unwrap();
    let resume = |run: &Run, bytes: &[u8]| {
        let mut request = run.request();
        request.resume = Some(run.write("damaged", bytes));
        runtime().block_on(run.sandbox().run(request, &RunHandle::new(1.0), Events::none()))
    };
    let refused = |result: Result<RunOutcome, RunError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, RunError::BadCheckpoint(_)), "{error:?}");
    };
    let mut flipped = whole.clone();
    flipped[5000] ^= 1;
    refused(resume(&run, &flipped));
    refused(resume(&run, &whole[..whole.len() - 1]));
    refused(resume(&run, b"rubbish"));
    // Of another program, of another kind of clock, of one that cannot move.
    let mut other = Run::new(prepare(super::files::TOUR).unwrap().module);
    other.deterministic = true;
    refused(resume(&other, &whole));
    run.deterministic = false;
    refused(resume(&run, &whole));
    run.deterministic = true;
    // With less memory or output than it has.
    run.limits.memory_bytes = 128 << 10;
    let error = resume(&run, &whole).unwrap_err();
    assert!(matches!(error, RunError::BadCheckpoint(_) | RunError::MemoryLimit(_)), "{error:?}");
    run.limits.memory_bytes = 64 << 20;
    run.limits.output_bytes = 1;
    refused(resume(&run, &whole));
    // And the whole one is good.
    run.limits.output_bytes = 200 << 20;
    let mut request = run.request();
    request.resume = Some(run.write("damaged", &whole));
    let (queue, mut heard) = tokio::sync::mpsc::channel(1000);
    let handle = RunHandle::new(1.0);
    let (sandbox, steer) = (run.sandbox(), handle.clone());
    runtime().block_on(async {
        let task = tokio::spawn(async move { sandbox.run(request, &handle, Events::to(queue)).await });
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Log { .. }) {
                steer.preempt();
            }
        }
        match task.await.unwrap() {
            Err(RunError::Preempted { checkpoint: Some(next) }) => assert_eq!(next.number, taken.number + 1),
            other => panic!("{other:?}"),
        }
    });
}

/// Ends as soon as there is a byte on standard input.
fn until_told() -> Run {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
          (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1))
          (loop $l
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br_if $l (i32.eqz (i32.load (i32.const 8)))))))"#;
    let mut run = Run::new(prepare(&wat::parse_str(text).unwrap()).unwrap().module);
    run.limits.seconds = 600;
    run
}

/// Runs it until a checkpoint has used up so much time.
fn checkpoint_after(run: &Run, wall_ms: u64) -> Checkpoint {
    let mut request = run.request();
    request.checkpoint_every = Some(Duration::from_millis(200));
    let (queue, mut heard) = tokio::sync::mpsc::channel(10_000);
    let handle = RunHandle::new(1.0);
    let (sandbox, steer) = (run.sandbox(), handle.clone());
    runtime().block_on(async {
        let task = tokio::spawn(async move { sandbox.run(request, &handle, Events::to(queue)).await });
        while let Some(event) = heard.recv().await {
            if matches!(event, RunEvent::Checkpoint(taken) if taken.wall_ms >= wall_ms) {
                steer.preempt();
            }
        }
        match task.await.unwrap() {
            Err(RunError::Preempted { checkpoint: Some(checkpoint) }) => checkpoint,
            other => panic!("{other:?}"),
        }
    })
}

pub(super) fn the_limit_holds_over_all_segments() {
    let mut run = until_told();
    let last = checkpoint_after(&run, 1000);
    assert!(last.number > 1 && last.wall_ms >= 1000, "{last:?}");
    let carried = run.folder.path().join("carried");
    std::fs::copy(&last.file, &carried).unwrap();
    run.input = Some(b"!".to_vec());
    let again = |run: &Run| {
        let mut request = run.request();
        request.resume = Some(carried.clone());
        runtime().block_on(run.sandbox().run(request, &RunHandle::new(1.0), Events::none()))
    };
    let outcome = again(&run).unwrap();
    assert!(outcome.wall_ms >= last.wall_ms && outcome.fuel > last.fuel, "{outcome:?} after {last:?}");
    // Its time was used up elsewhere, so it does not even get to look.
    run.limits.seconds = 1;
    assert_eq!(again(&run).unwrap_err(), RunError::TimeLimit(1));
}

/// Changes a state to what no honest device makes.
type Forges = fn(&mut State);

pub(super) fn forged_checkpoints_harm_nobody() {
    const FORGERIES: &[(&str, Forges)] = &[
        ("no memory", |state| state.memory_pages = 0),
        ("a little more memory", |state| state.memory_pages = 3),
        ("too much memory", |state| state.memory_pages = 1 << 30),
        ("absurdly much memory", |state| state.memory_pages = u64::MAX),
        ("much output", |state| state.stdout = 1 << 40),
        ("absurdly much output", |state| state.stdout = u64::MAX),
        ("some output", |state| state.stdout = 5),
        ("no stack", |state| state.frames.clear()),
        ("half a stack", |state| state.frames.truncate(state.frames.len() - 1)),
        ("a frame too many", |state| state.frames.push(1)),
        ("another stack", |state| state.frames.iter_mut().for_each(|value| *value = !*value)),
        ("a huge stack", |state| state.frames = vec![1; 5_000_000]),
        ("a full stack", |state| state.frames = vec![1; 4 * 1024 * 1024]),
        ("globals of other names", |state| state.globals.iter_mut().for_each(|(name, _)| name.push('x'))),
        ("globals that are missing", |state| state.globals.clear()),
        ("globals too many", |state| state.globals = vec![("fog:state".into(), 1); 100_000]),
        ("our globals", |state| state.globals.iter_mut().for_each(|(name, _)| *name = "fog:state".into())),
        ("a long end of standard error", |state| state.stderr.tail = vec![b'x'; 1 << 20]),
        ("a long line", |state| state.stderr.line = Some(b"fog:progress ".repeat(100_000))),
        ("totals at their ends", |state| {
            let max = u64::MAX;
            state.totals = Totals { fuel: max, cpu_ms: max, wall_ms: 0, memory_peak: max };
        }),
        ("all time used", |state| state.totals.wall_ms = u64::MAX),
    ];
    let mut run = until_told();
    let taken = checkpoint_after(&run, 0);
    run.input = Some(b"!".to_vec());
    let forge = |name: &str, change: &dyn Fn(&mut State), pages: &[(Owner, &[u8])]| {
        let reader = Reader::open(std::fs::File::open(&taken.file).unwrap()).unwrap();
        let mut state = reader.state().clone();
        change(&mut state);
        let path = run.folder.path().join("forged");
        let options = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).clone();
        let written = Book::default().write(&mut options.open(&path).unwrap(), state, pages.iter().copied());
        // What is too large to be written cannot be sent either.
        written.is_ok().then_some(path).ok_or_else(|| name.to_owned())
    };
    let resume = |run: &Run, path: std::path::PathBuf| {
        let mut request = run.request();
        request.resume = Some(path);
        request.checkpoint_every = Some(Duration::from_millis(1));
        runtime().block_on(run.sandbox().run(request, &RunHandle::new(1.0), Events::none()))
    };
    let peaceful = |name: &str, result: Result<RunOutcome, RunError>| match result {
        Ok(outcome) => assert!(outcome.stderr_tail.len() <= 3 * 8192, "{name}"),
        Err(RunError::BadCheckpoint(_) | RunError::Trap(_) | RunError::TimeLimit(_)) => {}
        Err(other) => panic!("{name}: {other:?}"),
    };
    // The machinery itself makes a good one. The program's memory is zeros but for what it reads into.
    let mut memory = vec![0u8; 65536];
    memory[..8].copy_from_slice(&[64, 0, 0, 0, 1, 0, 0, 0]);
    let pages: &[(Owner, &[u8])] = &[(Owner::Memory, &memory)];
    for engine in [EngineKind::Jit, EngineKind::Interpreter] {
        let mut run = until_told();
        run.engine = engine;
        run.input = Some(b"!".to_vec());
        resume(&run, forge("", &|_| {}, pages).unwrap()).unwrap();
        for (name, change) in FORGERIES {
            if let Ok(path) = forge(name, change, pages) {
                peaceful(name, resume(&run, path));
            }
        }
        let refused = |run: &Run, name: &str, path| {
            let error = resume(run, path).unwrap_err();
            assert!(matches!(error, RunError::BadCheckpoint(_)), "{name} in {engine:?}: {error:?}");
        };
        for (name, change) in &FORGERIES[2..6] {
            refused(&run, name, forge(name, change, pages).unwrap());
        }
        let far = vec![1u8; 3 * 65536];
        refused(&run, "pages beyond the end", forge("", &|_| {}, &[(Owner::Memory, &far)]).unwrap());
        refused(&run, "output beyond the end", forge("", &|_| {}, &[(Owner::Stdout, &far)]).unwrap());
        resume(&run, forge("", &|_| {}, &[pages[0], (Owner::File(9), &far)]).unwrap()).unwrap();
        // Moved for the last time: it can go on, but not be taken again.
        run.input = None;
        refused(&run, "the last number", forge("", &|state| state.number = u32::MAX, pages).unwrap());
    }
}
