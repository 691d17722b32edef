//! Worker processes that a program has taken over, as far as they can be: what they say, and what they put into their
//! files, must not harm the node. The liars are this binary again; see [`lie`].

use super::{LOOP, Run, program, runtime};
use fog_jobs::{Events, RunError, RunEvent, RunHandle, RunOutcome, Sandbox};
use serde::Serialize;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

/// What the node asks for, up to the checkpoint's file: module, hash, compiled, keep, standard input and output, files.
type Asked = (u32, String, [u8; 32], Option<String>, Option<String>, Option<String>, String, String, String);
type Totals = (u64, u64, u64, u64);

const LOG: u32 = 3;
const NOTE: u32 = 5;
const CHECKPOINT: u32 = 6;
const DONE: u32 = 7;
const TOTALS: Totals = (1, 1, 1, 1);

fn say(words: &impl Serialize) {
    let body = postcard::to_allocvec(words).unwrap();
    let mut out = std::io::stdout().lock();
    // The node may have had enough.
    let _ = out.write_all(&(body.len() as u32).to_le_bytes());
    let _ = out.write_all(&body);
    let _ = out.flush();
}

fn asked() -> Asked {
    let mut header = [0; 4];
    std::io::stdin().read_exact(&mut header).unwrap();
    let mut body = vec![0; u32::from_le_bytes(header) as usize];
    std::io::stdin().read_exact(&mut body).unwrap();
    postcard::take_from_bytes(&body).unwrap().0
}

/// Ends well, if it is believed.
fn end() {
    say(&(DONE, 0u32, 0i32, "", TOTALS, false));
}

/// What the process does when it is started with the argument `liar` and one of these.
pub(super) fn lie(how: &str) {
    if how == "deaf" {
        say(&(NOTE, "I do not listen"));
        std::thread::sleep(Duration::from_secs(600));
        return;
    }
    let asked = asked();
    let (stdout, checkpoint) = (asked.6, asked.8);
    match how {
        "chatter" => loop {
            say(&(NOTE, "still here"));
            std::thread::sleep(Duration::from_millis(20));
        },
        "fill" => {
            std::fs::write(&checkpoint, [1; 10_000]).unwrap();
            for number in (1..=10).chain((1..40).map(|n| n * 1000)).chain([u32::MAX, 0]) {
                say(&(CHECKPOINT, number, TOTALS, 0u64, 0u64));
            }
            end();
        }
        "huge" => {
            // Sparse, so that only a copy of it costs anything.
            std::fs::File::create(&checkpoint).unwrap().set_len(1 << 40).unwrap();
            say(&(CHECKPOINT, 1u32, TOTALS, 0u64, 0u64));
            end();
        }
        "link" => {
            let secret = Path::new(&checkpoint).with_file_name("secret");
            std::fs::remove_file(&checkpoint).unwrap();
            std::os::unix::fs::symlink(secret, &checkpoint).unwrap();
            say(&(CHECKPOINT, 1u32, TOTALS, 0u64, 0u64));
            let checkpoint = ("/etc/passwd", 1u64, 1u64, 1u64, 1u64, 1u64, 1u32);
            say(&(DONE, 1u32, 10u32, Some(checkpoint)));
        }
        "pipe" => {
            std::fs::remove_file(&checkpoint).unwrap();
            let path = std::ffi::CString::new(checkpoint.as_str()).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, &*path, rustix::fs::FileType::Fifo, 0o600.into(), 0)
                .unwrap();
            say(&(CHECKPOINT, 1u32, TOTALS, 0u64, 0u64));
            end();
        }
        "output" => {
            let secret = Path::new(&checkpoint).with_file_name("secret");
            std::fs::remove_file(&stdout).unwrap();
            std::os::unix::fs::symlink(secret, &stdout).unwrap();
            end();
        }
        "talker" => {
            say(&(LOG, true, vec![b'x'; 900_000]));
            say(&(NOTE, "n".repeat(900_000)));
            say(&(DONE, 0u32, 0i32, "ü".repeat(400_000), TOTALS, false));
        }
        "accuser" => say(&(DONE, 1u32, 1u32, "ü".repeat(400_000))),
        other => panic!("no such liar: {other}"),
    }
}

fn sandbox(how: &str) -> Sandbox {
    Sandbox::new(vec![std::env::current_exe().unwrap().into(), "liar".into(), how.into()])
}

/// Runs a liar, with a secret in its folder, and gives back what was heard of it.
fn believe(run: &Run, how: &str) -> (Result<RunOutcome, RunError>, Vec<RunEvent>) {
    let (queue, mut heard) = tokio::sync::mpsc::channel(10_000);
    let request = run.request();
    std::fs::create_dir_all(&request.scratch).unwrap();
    std::fs::write(request.scratch.join("secret"), b"the secret").unwrap();
    let result = runtime().block_on(sandbox(how).run(request, &RunHandle::new(1.0), Events::to(queue)));
    let mut events = Vec::new();
    while let Ok(event) = heard.try_recv() {
        events.push(event);
    }
    (result, events)
}

/// The copies of checkpoints in its folder.
fn copies(run: &Run) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(run.folder.path().join("scratch")).unwrap();
    let all = entries.map(|entry| entry.unwrap().path());
    all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("checkpoint-")).collect()
}

fn has_checkpoint(events: &[RunEvent]) -> bool {
    events.iter().any(|event| matches!(event, RunEvent::Checkpoint(_)))
}

pub(super) fn a_worker_that_chatters_is_ended() {
    let mut run = program(LOOP);
    run.limits.seconds = 1;
    let (result, events) = believe(&run, "chatter");
    assert_eq!(result.unwrap_err(), RunError::TimeLimit(1));
    assert!(!events.is_empty());
}

pub(super) fn a_worker_that_does_not_listen_is_ended() {
    let mut run = program(LOOP);
    run.limits.seconds = 3600;
    // More than a pipe holds.
    run.args = vec!["x".repeat(500_000)];
    runtime().block_on(async {
        let (queue, mut heard) = tokio::sync::mpsc::channel(1000);
        let handle = RunHandle::new(1.0);
        let (request, steer) = (run.request(), handle.clone());
        let task =
            tokio::spawn(async move { sandbox("deaf").run(request, &handle, Events::to(queue)).await });
        assert!(matches!(heard.recv().await, Some(RunEvent::Note(_))));
        for n in 0..10_000 {
            steer.set_share(if n % 2 == 0 { 0.5 } else { 1.0 });
            tokio::task::yield_now().await;
        }
        steer.cancel();
        assert_eq!(task.await.unwrap().unwrap_err(), RunError::Cancelled);
    });
}

pub(super) fn a_worker_cannot_fill_the_folder() {
    let run = program(LOOP);
    let (result, events) = believe(&run, "fill");
    result.unwrap();
    let numbers: Vec<u32> = events
        .iter()
        .filter_map(|event| if let RunEvent::Checkpoint(state) = event { Some(state.number) } else { None })
        .collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    assert_eq!(copies(&run).len(), 2, "{:?}", copies(&run));

    let run = program(LOOP);
    let (result, events) = believe(&run, "huge");
    result.unwrap();
    assert!(!has_checkpoint(&events));
    assert!(copies(&run).is_empty());
    assert!(!run.folder.path().join("scratch/checkpoint-1.part").exists());
}

pub(super) fn a_worker_cannot_hand_over_what_is_not_its_own() {
    let run = program(LOOP);
    let (result, events) = believe(&run, "link");
    assert_eq!(result.unwrap_err(), RunError::Preempted { checkpoint: None });
    assert!(!has_checkpoint(&events) && copies(&run).is_empty(), "{events:?}");
    let run = program(LOOP);
    let (result, events) = believe(&run, "pipe");
    result.unwrap();
    assert!(!has_checkpoint(&events) && copies(&run).is_empty(), "{events:?}");
    let error = believe(&program(LOOP), "output").0.unwrap_err();
    assert!(matches!(error, RunError::WorkerDied(_)), "{error:?}");
}

pub(super) fn a_workers_words_are_cut() {
    let (result, events) = believe(&program(LOOP), "talker");
    let tail = result.unwrap().stderr_tail;
    assert!(!tail.is_empty() && tail.len() <= 3 * 8192, "{}", tail.len());
    for event in events {
        match event {
            RunEvent::Log { bytes, .. } => assert!(bytes.len() <= 64 * 1024, "{}", bytes.len()),
            RunEvent::Note(text) => assert!(text.len() <= 300, "{}", text.len()),
            other => panic!("{other:?}"),
        }
    }
    match believe(&program(LOOP), "accuser").0.unwrap_err() {
        RunError::Trap(reason) => assert!(!reason.is_empty() && reason.len() <= 4096, "{}", reason.len()),
        other => panic!("{other:?}"),
    }
}
