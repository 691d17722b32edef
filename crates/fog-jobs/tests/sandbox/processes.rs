//! The worker process itself: how it dies, what it has, how much it uses.

use super::{LOOP, Run, program, runtime, sandbox};
use fog_jobs::{EngineKind, Events, Program, RunError, RunEvent, RunHandle, RunOutcome, Sandbox};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Counts down from a number that takes some tenths of a second.
const COUNT: &str = r#"(func (export "_start") (local $n i64)
    (local.set $n (i64.const 600000000))
    (loop $l
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $l (i64.ne (local.get $n) (i64.const 0)))))"#;

/// The process ids of the children of a process, by the system's own account.
pub(super) fn children(tasks: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(tasks).unwrap() {
        let list = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
    }
    found
}

/// Whether the process lives. One that is dead but not yet waited for does not.
pub(super) fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

/// Waits until no child of an earlier test lives.
pub(super) fn alone() {
    // Children are started one after the other: once this one is, none of an earlier test's is still to come.
    let runtime = runtime();
    runtime.block_on(sandbox().warm());
    drop(runtime);
    while children("/proc/self/task").into_iter().any(lives) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The job's process, the first that lives; the next one is made ready only when that runs.
async fn the_child() -> u32 {
    loop {
        if let Some(id) = children("/proc/self/task").into_iter().find(|pid| lives(*pid)) {
            return id;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Says a word, then loops.
const SPEAKING_LOOP: &str = r#"(memory (export "memory") 1) (data (i32.const 16) "on")
    (func (export "_start")
      (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 2))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (loop $l (br $l)))"#;

/// Starts a run and waits until its program says something. Gives back its process, and the run.
async fn started(
    run: &Run,
    handle: RunHandle,
) -> (u32, tokio::task::JoinHandle<Result<RunOutcome, RunError>>) {
    let (request, sandbox) = (run.request(), run.sandbox());
    let (queue, mut heard) = tokio::sync::mpsc::channel(1000);
    let task = tokio::spawn(async move { sandbox.run(request, &handle, Events::to(queue)).await });
    let child = the_child().await;
    while let Some(event) = heard.recv().await {
        if matches!(event, RunEvent::Log { .. }) {
            return (child, task);
        }
    }
    panic!("it ended without a word: {:?}", task.await);
}

pub(super) fn a_killed_worker_is_reported() {
    alone();
    let run = program(SPEAKING_LOOP);
    let error = runtime().block_on(async {
        let (child, task) = started(&run, RunHandle::new(1.0)).await;
        let pid = rustix::process::Pid::from_raw(child as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        task.await.unwrap().unwrap_err()
    });
    assert!(matches!(&error, RunError::WorkerDied(how) if how.contains('9')), "{error:?}");
}

pub(super) fn the_child_dies_with_its_node() {
    let mut node = std::process::Command::new(std::env::current_exe().unwrap()).arg("node").spawn().unwrap();
    let folder = format!("/proc/{}/task", node.id());
    let child = loop {
        if let Some(id) = children(&folder).first() {
            break *id;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    std::thread::sleep(Duration::from_millis(300));
    node.kill().unwrap();
    node.wait().unwrap();
    // Gone, or at most a zombie that nobody has waited for. By itself it would live for 20 s.
    let began = Instant::now();
    while lives(child) {
        assert!(began.elapsed() < Duration::from_secs(15), "it lives");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn cancel_kills_at_once() {
    alone();
    let mut run = program(SPEAKING_LOOP);
    run.limits.seconds = 3600;
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (child, task) = started(&run, handle.clone()).await;
        handle.cancel();
        assert_eq!(task.await.unwrap().unwrap_err(), RunError::Cancelled);
        assert!(!lives(child), "the child lives");
    });
}

pub(super) fn a_quarter_of_a_core() {
    alone();
    let mut run = program(COUNT);
    run.share = 0.25;
    run.limits.seconds = 120;
    let began = Instant::now();
    let (outcome, waited) = runtime().block_on(async {
        let request = run.request();
        let handle = RunHandle::new(run.share);
        let task = tokio::spawn(async move { sandbox().run(request, &handle, Events::none()).await });
        let child = the_child().await;
        let mut waited = 0.0;
        while !task.is_finished() {
            waited = queued(child).unwrap_or(waited);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (task.await.unwrap().unwrap(), waited)
    });
    let wall = began.elapsed().as_secs_f64();
    let (cpu, billed) = (outcome.cpu_ms as f64 / 1000.0, outcome.wall_ms as f64 / 1000.0);
    assert!(cpu > 0.1, "too quick to tell: {cpu} s");
    assert!(cpu / wall < 0.32, "used {cpu} s of CPU in {wall} s");
    // The pauses are not billed: what it neither ran nor waited for a busy processor.
    let (paused, of_it) = (wall - cpu - waited, billed - cpu - waited);
    if paused > 0.3 {
        assert!(
            of_it < paused / 2.0,
            "{cpu} s of CPU, {waited} s queued, {billed} s billed, {wall} s in all"
        );
    }
}

/// How long a process's main thread was ready but had no processor, seconds.
fn queued(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    stat.split_whitespace().nth(1)?.parse::<f64>().ok().map(|ns| ns / 1e9)
}

pub(super) fn a_pause_does_not_count() {
    pauses(program(SPEAKING_LOOP));
}

pub(super) fn a_start_function_can_be_paused() {
    let text = SPEAKING_LOOP.replace(r#"(func (export "_start")"#, "(func $begin");
    let mut run = program(&format!(r#"{text} (start $begin) (func (export "_start"))"#));
    // wasmi has no word for it of its own.
    run.engine = EngineKind::Interpreter;
    pauses(run);
}

/// Pauses an endless program for longer than its limit.
fn pauses(mut run: Run) {
    const LIMIT: u32 = 4;
    alone();
    run.limits.seconds = LIMIT;
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (child, task) = started(&run, handle.clone()).await;
        handle.set_share(0.0);
        // Until it has obeyed: what only waits for a busy processor is not asleep.
        let mut asleep = 0;
        while asleep < 3 {
            asleep = if is_asleep(child) { asleep + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let before = cpu_ticks(child);
        tokio::time::sleep(Duration::from_secs(LIMIT.into())).await;
        assert!(cpu_ticks(child) - before <= 1, "a paused job uses the processor");
        assert!(!task.is_finished());
        handle.set_share(1.0);
        assert_eq!(task.await.unwrap().unwrap_err(), RunError::TimeLimit(LIMIT));
    });
}

/// Whether no thread of a process runs or wants to.
fn is_asleep(pid: u32) -> bool {
    std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().all(|task| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('S')
    })
}

/// CPU time of a process in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

pub(super) fn sleeping_while_parked_does_not_count() {
    // Says a word and sleeps 6 s in the host, most of which it is parked, within a limit of 5 s.
    let mut run = program(
        r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
          (i32.store (i32.const 400) (i32.const 300)) (i32.store (i32.const 404) (i32.const 2))
          (drop (call $write (i32.const 1) (i32.const 400) (i32.const 1) (i32.const 408)))
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 24) (i64.const 6000000000))
          (drop (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200))))"#,
    );
    run.limits.seconds = 5;
    alone();
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (_, task) = started(&run, handle.clone()).await;
        handle.set_share(0.0);
        tokio::time::sleep(Duration::from_millis(5500)).await;
        handle.set_share(1.0);
        let outcome = task.await.unwrap().unwrap();
        assert!(outcome.wall_ms < 5000, "{outcome:?}");
    });
}

pub(super) fn a_missing_module_is_the_devices_fault() {
    let run = program(LOOP);
    let mut request = run.request();
    request.program = Program::wasm("/nowhere/at/all");
    let error = runtime().block_on(sandbox().run(request, &RunHandle::new(1.0), Events::none())).unwrap_err();
    assert!(matches!(error, RunError::Device(_)), "{error:?}");
    let none = Sandbox::new(vec!["/nowhere/at/all".into()]);
    let error =
        runtime().block_on(none.run(run.request(), &RunHandle::new(1.0), Events::none())).unwrap_err();
    assert!(matches!(error, RunError::Device(_)), "{error:?}");
}

pub(super) fn the_child_has_nothing_of_ours() {
    use std::os::fd::AsRawFd;
    // A file that every child inherits, as a careless library would leave it.
    let secret = tempfile::NamedTempFile::new().unwrap();
    let leaked = std::fs::File::open(secret.path()).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    alone();
    let run = program(SPEAKING_LOOP);
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (child, task) = started(&run, handle.clone()).await;
        let proc = PathBuf::from(format!("/proc/{child}"));
        // Since the child is not dumpable, only root may look; elsewhere there is nothing to see, which is well.
        if let Ok(environ) = std::fs::read(proc.join("environ")) {
            assert!(environ.is_empty(), "it has an environment");
        }
        if let Ok(open) = std::fs::read_dir(proc.join("fd")) {
            for entry in open {
                let target = std::fs::read_link(entry.unwrap().path()).unwrap();
                assert!(target != secret.path(), "it has file {} of ours", leaked.as_raw_fd());
                let text = target.to_string_lossy().into_owned();
                assert!(!text.starts_with("socket:"), "it has a socket: {text}");
            }
        }
        if let Ok(status) = std::fs::read_to_string(proc.join("status")) {
            assert!(status.contains("NoNewPrivs:\t1"), "it can gain privileges");
        }
        let stat = std::fs::read_to_string(proc.join("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        assert_eq!(fields[16], "19", "its nice value");
        assert_eq!(fields[2], child.to_string(), "its process group");
        handle.cancel();
        let _ = task.await;
    });
}
