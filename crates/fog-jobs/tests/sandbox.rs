//! Runs real worker processes on programs that behave and programs that do not. This binary is both the tests and the
//! worker process: the first argument `worker` makes it the latter. Other arguments select tests by a part of the name.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use fog_jobs::spec::Limits;
use fog_jobs::{RunError, RunHandle, RunOutcome, RunRequest, Sandbox};
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "worker") {
        std::process::exit(fog_jobs::worker::main());
    }
    if args.first().is_some_and(|arg| arg == "node") {
        let run = program(LOOP);
        println!("{:?}", run.run());
        return;
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let mut failed = 0;
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let began = Instant::now();
        let result = std::panic::catch_unwind(test);
        failed += usize::from(result.is_err());
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.2?})", began.elapsed());
    }
    std::process::exit(i32::from(failed > 0));
}

const TESTS: &[(&str, fn())] = &[
    ("echo_copies_input_to_output", echo_copies_input_to_output),
    ("exit_code_and_stderr_are_kept", exit_code_and_stderr_are_kept),
    ("arguments_arrive_and_nothing_else", arguments_arrive_and_nothing_else),
    ("fuel_is_the_same_number_each_time", fuel_is_the_same_number_each_time),
    ("not_wasm_is_refused", not_wasm_is_refused),
    ("a_library_is_refused", a_library_is_refused),
    ("an_endless_loop_ends", an_endless_loop_ends),
    ("an_endless_sleep_ends", an_endless_sleep_ends),
    ("growing_to_8_gib_ends", growing_to_8_gib_ends),
    ("starting_with_8_gib_ends", starting_with_8_gib_ends),
    ("growing_slowly_ends_at_the_limit", growing_slowly_ends_at_the_limit),
    ("opening_files_is_denied", opening_files_is_denied),
    ("no_folder_is_open", no_folder_is_open),
    ("sockets_are_denied", sockets_are_denied),
    ("an_unknown_import_is_named", an_unknown_import_is_named),
    ("endless_printing_ends", endless_printing_ends),
    ("endless_complaining_is_cut", endless_complaining_is_cut),
    ("deep_recursion_is_a_trap", deep_recursion_is_a_trap),
    ("unreachable_is_a_trap", unreachable_is_a_trap),
    ("a_killed_worker_is_reported", a_killed_worker_is_reported),
    ("the_child_dies_with_its_node", the_child_dies_with_its_node),
    ("cancel_kills_at_once", cancel_kills_at_once),
    ("a_quarter_of_a_core", a_quarter_of_a_core),
    ("a_pause_does_not_count", a_pause_does_not_count),
    ("sleeping_while_parked_does_not_count", sleeping_while_parked_does_not_count),
    ("a_job_from_offer_to_pay", a_job_from_offer_to_pay),
    ("a_missing_module_is_the_devices_fault", a_missing_module_is_the_devices_fault),
    ("the_child_has_nothing_of_ours", the_child_has_nothing_of_ours),
    ("word_count_counts_as_wc_does", word_count_counts_as_wc_does),
];

/// Imports that most of the programs below use.
const HEAD: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
"#;

struct Run {
    folder: tempfile::TempDir,
    module: Vec<u8>,
    input: Option<Vec<u8>>,
    args: Vec<String>,
    limits: Limits,
    share: f64,
}

fn program(body: &str) -> Run {
    let text = format!("(module {HEAD} {body})");
    Run::new(wat::parse_str(text).unwrap())
}

impl Run {
    fn new(module: Vec<u8>) -> Self {
        let limits = Limits { seconds: 20, memory_bytes: 64 << 20, output_bytes: 1 << 20 };
        let folder = tempfile::tempdir().unwrap();
        Self { folder, module, input: None, args: Vec::new(), limits, share: 1.0 }
    }

    fn request(&self) -> RunRequest {
        let module = self.folder.path().join("module.wasm");
        std::fs::write(&module, &self.module).unwrap();
        let input = self.input.as_ref().map(|bytes| {
            let path = self.folder.path().join("input");
            std::fs::write(&path, bytes).unwrap();
            path
        });
        let scratch = self.folder.path().join("scratch");
        RunRequest { module, input, args: self.args.clone(), limits: self.limits, scratch }
    }

    fn run(&self) -> Result<RunOutcome, RunError> {
        runtime().block_on(sandbox().run(self.request(), &RunHandle::new(self.share)))
    }

    fn output(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("scratch/output")).unwrap()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn sandbox() -> Sandbox {
    Sandbox::new(vec![std::env::current_exe().unwrap().into(), "worker".into()])
}

const ECHO: &str = r#"
  (memory (export "memory") 4)
  (func (export "_start") (local $n i32)
    (loop $again
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $n (i32.load (i32.const 8)))
      (if (local.get $n) (then
        (i32.store (i32.const 4) (local.get $n))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $again)))))
"#;

fn echo_copies_input_to_output() {
    let mut run = program(ECHO);
    let input: Vec<u8> = (0..700_000u32).map(|n| (n * 7 + n / 256) as u8).collect();
    run.input = Some(input.clone());
    let outcome = run.run().unwrap();
    assert_eq!(outcome.exit_code, 0);
    assert!(run.output() == input, "the output is not the input");
    assert_eq!(outcome.memory_peak, 4 * 65536);
    assert!(outcome.fuel > 100 && outcome.cpu_ms <= outcome.wall_ms);
    run.input = None;
    run.run().unwrap();
    assert!(run.output().is_empty());
}

fn exit_code_and_stderr_are_kept() {
    let run = program(
        r#"(memory (export "memory") 1) (data (i32.const 16) "oh no")
        (func (export "_start")
          (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 5))
          (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
          (call $exit (i32.const 3)))"#,
    );
    let outcome = run.run().unwrap();
    assert_eq!((outcome.exit_code, outcome.stderr_tail.as_str()), (3, "oh no"));
}

fn arguments_arrive_and_nothing_else() {
    // Prints the arguments as they lie in memory, then exits with the number of environment variables.
    let mut run = program(
        r#"(import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
          (drop (call $sizes (i32.const 100) (i32.const 104)))
          (drop (call $args (i32.const 200) (i32.const 400)))
          (i32.store (i32.const 0) (i32.const 400))
          (i32.store (i32.const 4) (i32.load (i32.const 104)))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (drop (call $env (i32.const 100) (i32.const 104)))
          (call $exit (i32.load (i32.const 100))))"#,
    );
    run.args = vec!["-l".into(), "zwei drei".into()];
    assert_eq!(run.run().unwrap().exit_code, 0);
    assert_eq!(run.output(), b"job\0-l\0zwei drei\0");
}

fn fuel_is_the_same_number_each_time() {
    let mut run = program(ECHO);
    run.input = Some(vec![7; 300_000]);
    let first = run.run().unwrap().fuel;
    run.share = 0.5;
    assert_eq!(run.run().unwrap().fuel, first);
}

fn not_wasm_is_refused() {
    for bytes in [&b"#!/bin/sh\necho hello\n"[..], b"", b"\0as", b"(module)", b"\0asm\x01\0\0\0\x07\xff\xff"]
    {
        let error = Run::new(bytes.to_vec()).run().unwrap_err();
        assert!(matches!(error, RunError::NotWasm(_)), "{error:?}");
    }
}

fn a_library_is_refused() {
    let error = program(r#"(func (export "run"))"#).run().unwrap_err();
    assert!(matches!(&error, RunError::NotWasm(reason) if reason.contains("_start")), "{error:?}");
}

const LOOP: &str = r#"(func (export "_start") (loop $l (br $l)))"#;

fn an_endless_loop_ends() {
    let mut run = program(LOOP);
    run.limits.seconds = 1;
    let began = Instant::now();
    assert_eq!(run.run().unwrap_err(), RunError::TimeLimit(1));
    assert!(began.elapsed() < Duration::from_secs(4), "took {:?}", began.elapsed());
}

fn an_endless_sleep_ends() {
    // Sleeps in the host, where no epoch interrupts it.
    let mut run = program(
        r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 24) (i64.const 3600000000000))
          (drop (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200))))"#,
    );
    run.limits.seconds = 1;
    let began = Instant::now();
    assert_eq!(run.run().unwrap_err(), RunError::TimeLimit(1));
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
}

fn growing_to_8_gib_ends() {
    let run = program(
        r#"(memory (export "memory") 1)
        (func (export "_start") (drop (memory.grow (i32.const 131072))))"#,
    );
    assert_eq!(run.run().unwrap_err(), RunError::MemoryLimit(64 << 20));
}

fn starting_with_8_gib_ends() {
    let run = program(r#"(memory i64 131072) (func (export "_start"))"#);
    assert_eq!(run.run().unwrap_err(), RunError::MemoryLimit(64 << 20));
}

fn growing_slowly_ends_at_the_limit() {
    let run = program(
        r#"(memory (export "memory") 1)
        (func (export "_start") (loop $l (drop (memory.grow (i32.const 1))) (br $l)))"#,
    );
    assert_eq!(run.run().unwrap_err(), RunError::MemoryLimit(64 << 20));
}

fn opening_files_is_denied() {
    // Tries every number that a folder could have, with a path out of any folder.
    let run = program(
        r#"(import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 16) "../../../../etc/passwd")
        (func (export "_start")
          (drop (call $open (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 22)
            (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 8))))"#,
    );
    let error = run.run().unwrap_err();
    assert!(matches!(&error, RunError::Denied(what) if what.contains("path_open")), "{error:?}");
}

fn no_folder_is_open() {
    // Exits with the number of folders that the runtime offers from number 3 on.
    let run = program(
        r#"(import "wasi_snapshot_preview1" "fd_prestat_get" (func $pre (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $fd i32) (local $found i32)
          (local.set $fd (i32.const 3))
          (loop $l
            (if (i32.eqz (call $pre (local.get $fd) (i32.const 0)))
              (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
            (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $fd) (i32.const 100))))
          (call $exit (local.get $found)))"#,
    );
    assert_eq!(run.run().unwrap().exit_code, 0);
}

fn sockets_are_denied() {
    let run = program(
        r#"(import "wasi_snapshot_preview1" "sock_accept" (func $a (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (drop (call $a (i32.const 3) (i32.const 0) (i32.const 8))))"#,
    );
    let error = run.run().unwrap_err();
    assert!(matches!(&error, RunError::Denied(what) if what.contains("sock_accept")), "{error:?}");
}

fn an_unknown_import_is_named() {
    let run = program(r#"(import "env" "launch_missiles" (func)) (func (export "_start"))"#);
    let error = run.run().unwrap_err();
    assert!(matches!(&error, RunError::Denied(what) if what.contains("env.launch_missiles")), "{error:?}");
}

fn print_for_ever(fd: u32) -> Run {
    program(&format!(
        r#"(memory (export "memory") 1) (data (i32.const 16) "all work and no play ")
        (func (export "_start")
          (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 4096))
          (loop $l
            (drop (call $write (i32.const {fd}) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br $l)))"#
    ))
}

fn endless_printing_ends() {
    let run = print_for_ever(1);
    assert_eq!(run.run().unwrap_err(), RunError::OutputLimit(1 << 20));
    assert!(run.output().len() <= 1 << 20);
}

fn endless_complaining_is_cut() {
    let mut run = print_for_ever(2);
    run.limits.seconds = 1;
    assert_eq!(run.run().unwrap_err(), RunError::TimeLimit(1));
}

fn deep_recursion_is_a_trap() {
    let run = program(
        r#"(func $f (param i64) (result i64) (i64.add (call $f (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
        (func (export "_start") (drop (call $f (i64.const 0))))"#,
    );
    let error = run.run().unwrap_err();
    assert!(matches!(&error, RunError::Trap(reason) if reason.contains("recurses")), "{error:?}");
}

fn unreachable_is_a_trap() {
    let error = program(r#"(func (export "_start") unreachable)"#).run().unwrap_err();
    assert!(matches!(&error, RunError::Trap(reason) if reason.contains("unreachable")), "{error:?}");
}

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

fn a_killed_worker_is_reported() {
    let run = program(LOOP);
    let error = runtime().block_on(async {
        let request = run.request();
        let task = tokio::spawn(async move { sandbox().run(request, &RunHandle::new(1.0)).await });
        let child = the_child().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let pid = rustix::process::Pid::from_raw(child as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        task.await.unwrap().unwrap_err()
    });
    assert!(matches!(&error, RunError::WorkerDied(how) if how.contains('9')), "{error:?}");
}

fn the_child_dies_with_its_node() {
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

fn cancel_kills_at_once() {
    let run = program(LOOP);
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (request, steer) = (run.request(), handle.clone());
        let task = tokio::spawn(async move { sandbox().run(request, &handle).await });
        the_child().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        steer.cancel();
        assert_eq!(task.await.unwrap().unwrap_err(), RunError::Cancelled);
        assert!(began.elapsed() < Duration::from_millis(500));
        assert!(children("/proc/self/task").is_empty(), "the child lives");
    });
}

/// Counts down from a number that takes some tenths of a second.
const COUNT: &str = r#"(func (export "_start") (local $n i64)
    (local.set $n (i64.const 600000000))
    (loop $l
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $l (i64.ne (local.get $n) (i64.const 0)))))"#;

fn a_quarter_of_a_core() {
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

fn a_pause_does_not_count() {
    let mut run = program(LOOP);
    run.limits.seconds = 1;
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (request, steer) = (run.request(), handle.clone());
        let began = Instant::now();
        let task = tokio::spawn(async move { sandbox().run(request, &handle).await });
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

fn sleeping_while_parked_does_not_count() {
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
        let task = tokio::spawn(async move { sandbox().run(request, &handle).await });
        the_child().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        steer.set_share(0.0);
        tokio::time::sleep(Duration::from_millis(1000)).await;
        steer.set_share(1.0);
        let outcome = task.await.unwrap().unwrap();
        assert!((300..1000).contains(&outcome.wall_ms), "{outcome:?}");
    });
}

fn a_missing_module_is_the_devices_fault() {
    let run = program(LOOP);
    let mut request = run.request();
    request.module = PathBuf::from("/nowhere/at/all");
    let error = runtime().block_on(sandbox().run(request, &RunHandle::new(1.0))).unwrap_err();
    assert!(matches!(error, RunError::Device(_)), "{error:?}");
    let none = Sandbox::new(vec!["/nowhere/at/all".into()]);
    let error = runtime().block_on(none.run(run.request(), &RunHandle::new(1.0))).unwrap_err();
    assert!(matches!(error, RunError::Device(_)), "{error:?}");
}

fn the_child_has_nothing_of_ours() {
    use std::os::fd::AsRawFd;
    // A file that every child inherits, as a careless library would leave it.
    let secret = tempfile::NamedTempFile::new().unwrap();
    let leaked = std::fs::File::open(secret.path()).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let run = program(LOOP);
    runtime().block_on(async {
        let handle = RunHandle::new(1.0);
        let (request, steer) = (run.request(), handle.clone());
        let task = tokio::spawn(async move { sandbox().run(request, &handle).await });
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

fn word_count_counts_as_wc_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/word-count/word-count.wasm");
    let mut run = Run::new(std::fs::read(path).unwrap());
    let text: String = (0..200_000u32)
        .map(|n| if n % 11 == 0 { "tea\tfor two\n".to_owned() } else { format!("{n} ") })
        .collect();
    assert!(text.len() > 1_000_000);
    run.input = Some(text.clone().into_bytes());
    assert_eq!(run.run().unwrap().exit_code, 0);
    let expected = [text.matches('\n').count(), text.split_ascii_whitespace().count(), text.len()];
    let counted: Vec<usize> = String::from_utf8(run.output())
        .unwrap()
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(counted, expected);
}

/// Both engines, a real run between them, and the order to pay at the end.
fn a_job_from_offer_to_pay() {
    use fog_jobs::{Action, BlobStore, Engine, EngineConfig, JobState, NewJob, migrate};
    use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

    async fn side(folder: &std::path::Path, key: u8) -> (Engine, SqliteConnection) {
        let folder = folder.join(key.to_string());
        let blobs = BlobStore::open(folder.join("blobs")).unwrap();
        let options = SqliteConnectOptions::new().filename(folder.join("db")).create_if_missing(true);
        let mut conn = options.connect().await.unwrap();
        migrate(&mut conn).await.unwrap();
        let key = ed25519_dalek::SigningKey::from_bytes(&[key; 32]);
        (Engine::new(key, blobs, EngineConfig::new(folder.join("scratch")), [9; 32]), conn)
    }

    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (submitter, mut s) = side(folder.path(), 1).await;
        let (worker, mut w) = side(folder.path(), 2).await;
        let module = program(ECHO).module;
        let text = b"the quick brown fox ".repeat(40_000);
        let new = NewJob {
            name: "echo".into(),
            module: submitter.blobs().put_bytes(&module).unwrap(),
            input: Some(submitter.blobs().put_bytes(&text).unwrap()),
            args: Vec::new(),
            limits: Limits { seconds: 20, memory_bytes: 64 << 20, output_bytes: 1 << 20 },
            price_limit: None,
            worker: worker.me(),
        };
        let (job, mut actions) = submitter.submit(&mut s, new, 1).await.unwrap();
        let mut paid = Vec::new();
        for now in 2..200 {
            actions.extend(worker.tick(&mut w, now, true, 1).await.unwrap());
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Send { to, message } if to == worker.me() => {
                        let more = worker.on_message(&mut w, submitter.me(), message, now).await;
                        actions.extend(more.unwrap());
                    }
                    Action::Send { message, .. } => {
                        let more = submitter.on_message(&mut s, worker.me(), message, now).await;
                        actions.extend(more.unwrap());
                    }
                    Action::Run(plan) => {
                        let outcome = sandbox().run(plan.request, &RunHandle::new(1.0)).await;
                        actions.extend(worker.on_outcome(&mut w, plan.job, outcome, now).await.unwrap());
                    }
                    Action::Settle { settlement, .. } => paid.push(settlement),
                    _ => {}
                }
            }
        }
        let sent = submitter.get(&mut s, &job.id()).await.unwrap();
        assert_eq!(sent.state(), JobState::Completed, "{}", sent.note);
        assert_eq!(submitter.blobs().read(&sent.output.unwrap().hash).unwrap(), text);
        assert!(paid.len() == 2 && paid[0] == paid[1] && paid[0].receipt.receipt.price > 0);
    });
}
