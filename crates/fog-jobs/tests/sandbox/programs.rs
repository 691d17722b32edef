//! Programs that behave, and programs that do not: each ends in its own error.

use super::{ECHO, LOOP, Run, program};
use fog_jobs::{RunError, RunEvent};
use std::time::{Duration, Instant};

pub(super) fn echo_copies_input_to_output() {
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

pub(super) fn exit_code_and_stderr_are_kept() {
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

pub(super) fn arguments_arrive_and_nothing_else() {
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

pub(super) fn fuel_is_the_same_number_each_time() {
    let mut run = program(ECHO);
    run.input = Some(vec![7; 300_000]);
    let first = run.run().unwrap().fuel;
    run.share = 0.5;
    assert_eq!(run.run().unwrap().fuel, first);
}

pub(super) fn not_wasm_is_refused() {
    for bytes in [&b"#!/bin/sh\necho hello\n"[..], b"", b"\0as", b"(module)", b"\0asm\x01\0\0\0\x07\xff\xff"]
    {
        let error = Run::new(bytes.to_vec()).run().unwrap_err();
        assert!(matches!(error, RunError::NotWasm(_)), "{error:?}");
    }
}

pub(super) fn a_library_is_refused() {
    let error = program(r#"(func (export "run"))"#).run().unwrap_err();
    assert!(matches!(&error, RunError::NotWasm(reason) if reason.contains("_start")), "{error:?}");
}

pub(super) fn an_endless_loop_ends() {
    let mut run = program(LOOP);
    run.limits.seconds = 1;
    let began = Instant::now();
    assert_eq!(run.run().unwrap_err(), RunError::TimeLimit(1));
    // By itself, or by the node's hand.
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
}

pub(super) fn an_endless_sleep_ends() {
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
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
}

pub(super) fn growing_to_8_gib_ends() {
    let run = program(
        r#"(memory (export "memory") 1)
        (func (export "_start") (drop (memory.grow (i32.const 131072))))"#,
    );
    assert_eq!(run.run().unwrap_err(), RunError::MemoryLimit(64 << 20));
}

pub(super) fn starting_with_8_gib_ends() {
    let run = program(r#"(memory i64 131072) (func (export "_start"))"#);
    assert_eq!(run.run().unwrap_err(), RunError::MemoryLimit(64 << 20));
}

pub(super) fn growing_slowly_ends_at_the_limit() {
    let run = program(
        r#"(memory (export "memory") 1)
        (func (export "_start") (loop $l (drop (memory.grow (i32.const 1))) (br $l)))"#,
    );
    assert_eq!(run.run().unwrap_err(), RunError::MemoryLimit(64 << 20));
}

pub(super) fn paths_lead_nowhere_else() {
    // Tries every number that a folder could have, with a path out of any folder; exits with the last error number.
    let run = program(
        r#"(import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 16) "../../../../etc/passwd")
        (func (export "_start") (local $fd i32) (local $error i32)
          (loop $l
            (local.set $error (call $open (local.get $fd) (i32.const 1) (i32.const 16) (i32.const 22)
              (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 8)))
            (if (i32.eqz (local.get $error)) (then (call $exit (i32.const 99))))
            (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $fd) (i32.const 5))))
          (call $exit (local.get $error)))"#,
    );
    let (outcome, events) = run.run_heard();
    // "Capabilities insufficient", and a word to whoever looks at the job.
    assert_eq!(outcome.unwrap().exit_code, 76);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, RunEvent::Note(text) if text.contains("leave its folders")))
    );
}

pub(super) fn two_folders_are_open() {
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
    assert_eq!(run.run().unwrap().exit_code, 2);
}

pub(super) fn sockets_are_denied() {
    let run = program(
        r#"(import "wasi_snapshot_preview1" "sock_accept" (func $a (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (drop (call $a (i32.const 3) (i32.const 0) (i32.const 8))))"#,
    );
    let error = run.run().unwrap_err();
    assert!(matches!(&error, RunError::Denied(what) if what.contains("sock_accept")), "{error:?}");
}

pub(super) fn an_unknown_import_is_named() {
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

pub(super) fn endless_printing_ends() {
    let run = print_for_ever(1);
    assert_eq!(run.run().unwrap_err(), RunError::OutputLimit(1 << 20));
    assert!(run.output().len() <= 1 << 20);
}

pub(super) fn endless_complaining_is_cut() {
    let mut run = print_for_ever(2);
    run.limits.seconds = 1;
    assert_eq!(run.run().unwrap_err(), RunError::TimeLimit(1));
}

pub(super) fn deep_recursion_is_a_trap() {
    let run = program(
        r#"(func $f (param i64) (result i64) (i64.add (call $f (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
        (func (export "_start") (drop (call $f (i64.const 0))))"#,
    );
    let error = run.run().unwrap_err();
    assert!(matches!(&error, RunError::Trap(reason) if reason.contains("recurses")), "{error:?}");
}

pub(super) fn unreachable_is_a_trap() {
    let error = program(r#"(func (export "_start") unreachable)"#).run().unwrap_err();
    assert!(matches!(&error, RunError::Trap(reason) if reason.contains("unreachable")), "{error:?}");
}
