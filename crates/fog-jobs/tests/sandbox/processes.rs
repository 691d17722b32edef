//! The worker process itself: how it dies, what it has, how much it uses.

use super::{LOOP, program, runtime, sandbox};
use fog_jobs::{Events, Program, RunError, RunHandle, Sandbox};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Counts down from a number that takes some tenths of a second.
const COUNT: &str = r#"(func (export "_start") (local $n i64)
    (local.set $n (i64.const 600000000))
    (loop $l
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $l (i64.ne (local.get $n) (i64.const 0)))))"#;

/// The process ids of the children of a process, by the system's own account.
fn children(tasks: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(tasks).unwrap() {
        let list = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
    }
    found
}

async fn the_child() -> u32 {
    loop {
        if let Some(id) = children("/proc/self/task").first() {
            return *id;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn a_killed_worker_is_reported() {
    let run = program(LOOP);
    let error = runtime().block_on(async {
        let request = run.request();
        let task =
            tokio::spawn(async move { sandbox().run(request, &RunHandle::new(1.0), Events::none()).await });
        let child = the_child().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
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
    std::thread::sleep(Duration::from_millis(300));
    // Gone, or at most a zombie that nobody has waited for.
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "it lives: {stat}");
}

pub(super) fn cancel_kills_at_once() {
    let run = program(LOOP);
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (request, steer) = (run.request(), handle.clone());
        let task = tokio::spawn(async move { sandbox().run(request, &handle, Events::none()).await });
        the_child().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        steer.cancel();
        assert_eq!(task.await.unwrap().unwrap_err(), RunError::Cancelled);
        assert!(began.elapsed() < Duration::from_millis(500));
        assert!(children("/proc/self/task").is_empty(), "the child lives");
    });
}

pub(super) fn a_quarter_of_a_core() {
    let mut run = program(COUNT);
    run.share = 0.25;
    let began = Instant::now();
    let outcome = run.run().unwrap();
    let wall = began.elapsed().as_secs_f64();
    let cpu = outcome.cpu_ms as f64 / 1000.0;
    assert!(cpu > 0.1, "too quick to tell: {cpu} s");
    assert!(cpu / wall < 0.32, "used {cpu} s of CPU in {wall} s");
    // The pauses are not billed.
    assert!((outcome.wall_ms as f64) / 1000.0 < wall * 0.6, "{} ms of {wall} s", outcome.wall_ms);
}

pub(super) fn a_pause_does_not_count() {
    let mut run = program(LOOP);
    run.limits.seconds = 1;
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (request, steer) = (run.request(), handle.clone());
        let began = Instant::now();
        let task = tokio::spawn(async move { sandbox().run(request, &handle, Events::none()).await });
        let child = the_child().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        steer.set_share(0.0);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = cpu_ticks(child);
        tokio::time::sleep(Duration::from_millis(2000)).await;
        assert!(cpu_ticks(child) - before <= 1, "a paused job uses the processor");
        assert!(!task.is_finished());
        steer.set_share(1.0);
        assert_eq!(task.await.unwrap().unwrap_err(), RunError::TimeLimit(1));
        assert!(began.elapsed() > Duration::from_millis(2900));
    });
}

/// CPU time of a process in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

pub(super) fn sleeping_while_parked_does_not_count() {
    // Sleeps 1.5 s in the host, of which more than half is parked, within a limit of 1 s.
    let mut run = program(
        r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 24) (i64.const 1500000000))
          (drop (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200))))"#,
    );
    run.limits.seconds = 1;
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (request, steer) = (run.request(), handle.clone());
        let task = tokio::spawn(async move { sandbox().run(request, &handle, Events::none()).await });
        the_child().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        steer.set_share(0.0);
        tokio::time::sleep(Duration::from_millis(1000)).await;
        steer.set_share(1.0);
        let outcome = task.await.unwrap().unwrap();
        assert!((300..1000).contains(&outcome.wall_ms), "{outcome:?}");
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
    let run = program(LOOP);
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (request, steer) = (run.request(), handle.clone());
        let task = tokio::spawn(async move { sandbox().run(request, &handle, Events::none()).await });
        let child = the_child().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
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
        steer.cancel();
        let _ = task.await;
    });
}
