//! Programs that mean harm. Each ends in its own clear error, in a real worker process, and in both engines.

use super::{LOOP, Run, program};
use fog_jobs::{EngineKind, RunError, RunEvent};

type Ends = fn(&RunError) -> bool;

/// Text, and how it must end.
const BOMBS: &[(&str, &str, Ends)] = &[
    ("a loop", LOOP, |e| *e == RunError::TimeLimit(1)),
    ("a loop at the start", r#"(func $s (loop $l (br $l))) (start $s) (func (export "_start"))"#, |e| {
        *e == RunError::TimeLimit(1)
    }),
    (
        "memory at once",
        r#"(memory 1) (func (export "_start") (drop (memory.grow (i32.const 60000))))"#,
        |e| *e == RunError::MemoryLimit(64 << 20),
    ),
    ("memory from the beginning", r#"(memory 40000) (func (export "_start"))"#, |e| {
        *e == RunError::MemoryLimit(64 << 20)
    }),
    (
        "memory bit by bit",
        r#"(memory 1) (func (export "_start") (loop $l (drop (memory.grow (i32.const 1))) (br $l)))"#,
        |e| *e == RunError::MemoryLimit(64 << 20),
    ),
    ("many memories", MEMORIES, |e| {
        matches!(e, RunError::NotWasm(_) | RunError::Trap(_) | RunError::MemoryLimit(_) | RunError::Denied(_))
    }),
    (
        "a table from the beginning",
        r#"(table 9000000 funcref) (func (export "_start"))"#,
        |e| matches!(e, RunError::Denied(what) if what.contains("table")),
    ),
    (
        "a table at once",
        r#"(table 1 funcref)
        (func (export "_start") (drop (table.grow (ref.null func) (i32.const 9000000))))"#,
        |e| matches!(e, RunError::Denied(what) if what.contains("table")),
    ),
    (
        "recursion",
        r#"(func $f (param i64) (result i64) (i64.add (call $f (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
        (func (export "_start") (drop (call $f (i64.const 0))))"#,
        |e| matches!(e, RunError::Trap(reason) if reason.contains("recurses")),
    ),
    (
        "recursion through a table",
        r#"(type $t (func (param i64) (result i64))) (table funcref (elem $f))
        (func $f (type $t)
          (i64.add (call_indirect (type $t) (local.get 0) (i32.const 0)) (local.get 0)))
        (func (export "_start") (drop (call $f (i64.const 0))))"#,
        |e| matches!(e, RunError::Trap(reason) if reason.contains("recurses")),
    ),
    (
        "a call of nothing",
        r#"(type $t (func)) (table 1 funcref) (func (export "_start") (call_indirect (type $t) (i32.const 0)))"#,
        |e| matches!(e, RunError::Trap(_)),
    ),
    ("division by zero", r#"(func (export "_start") (drop (i32.div_u (i32.const 1) (i32.const 0))))"#, |e| {
        matches!(e, RunError::Trap(_))
    }),
    (
        "memory beyond the end",
        r#"(memory 1) (func (export "_start") (drop (i32.load (i32.const -1))))"#,
        |e| matches!(e, RunError::Trap(_)),
    ),
    (
        "output without end",
        r#"(memory (export "memory") 1)
        (func (export "_start")
          (i32.store (i32.const 4) (i32.const 4096))
          (loop $l (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l)))"#,
        |e| *e == RunError::OutputLimit(1 << 20),
    ),
    (
        "output from beyond memory",
        r#"(memory (export "memory") 1)
        (func (export "_start") (local $error i32)
          (i32.store (i32.const 0) (i32.const -16)) (i32.store (i32.const 4) (i32.const -1))
          (local.set $error (call $write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const -4)))
          (if (i32.eqz (local.get $error)) (then (call $exit (i32.const 1))))
          (if (i32.eqz (call $read (i32.const 0) (i32.const -8) (i32.const 1) (i32.const -4))) (then (call $exit (i32.const 1))))
          unreachable)"#,
        |e| matches!(e, RunError::Trap(reason) if reason.contains("unreachable")),
    ),
    (
        "forged handles",
        r#"(memory (export "memory") 1)
        (func (export "_start") (local $fd i32)
          (i32.store (i32.const 4) (i32.const 8))
          (local.set $fd (i32.const 3))
          (loop $l
            (if (i32.eqz (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))) (then (call $exit (i32.const 1))))
            (if (i32.eqz (call $read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))) (then (call $exit (i32.const 1))))
            (local.set $fd (i32.add (i32.mul (local.get $fd) (i32.const 3)) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $fd) (i32.const 1000000000))))
          unreachable)"#,
        |e| matches!(e, RunError::Trap(reason) if reason.contains("unreachable")),
    ),
    (
        "an import that jobs do not get",
        r#"(import "env" "launch" (func)) (func (export "_start"))"#,
        |e| matches!(e, RunError::Denied(what) if what.contains("env.launch")),
    ),
    (
        "a socket",
        r#"(import "wasi_snapshot_preview1" "sock_accept" (func $a (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (drop (call $a (i32.const 3) (i32.const 0) (i32.const 8))))"#,
        |e| matches!(e, RunError::Denied(what) if what.contains("sock_accept")),
    ),
    (
        "sleep without end",
        r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
          (i64.store (i32.const 24) (i64.const 3600000000000))
          (drop (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200))))"#,
        |e| *e == RunError::TimeLimit(1),
    ),
];

const MEMORIES: &str = r#"(memory 900) (memory 900) (memory 900) (func (export "_start"))"#;

/// A short limit for what must meet it, and a long one for what must end by itself, however busy this machine is.
fn seconds(expected: Ends) -> u32 {
    if expected(&RunError::TimeLimit(1)) { 1 } else { 120 }
}

fn ends(engine: EngineKind) {
    for (name, text, expected) in BOMBS {
        let mut run = program(text);
        run.engine = engine;
        run.limits.seconds = seconds(*expected);
        let error = run.run().map(drop).unwrap_err();
        assert!(expected(&error), "{name} in {engine:?}: {error:?}");
        assert!(run.output().len() <= 1 << 20, "{name}");
    }
}

pub(super) fn hostile_programs_end_in_their_own_errors() {
    ends(EngineKind::Jit);
}

pub(super) fn hostile_programs_end_in_the_interpreter_too() {
    ends(EngineKind::Interpreter);
}

pub(super) fn compile_bombs_end() {
    // A function of 30,000 nested blocks, and one of very many locals and instructions.
    let nested = format!(r#"(func (export "_start") {} {})"#, "(block ".repeat(30_000), ")".repeat(30_000));
    let wide = format!(
        r#"(func (export "_start") (local {}) {})"#,
        "i64 ".repeat(20_000),
        "(local.set 1 (i64.add (local.get 2) (i64.mul (local.get 1) (local.get 3))))".repeat(60_000)
    );
    for (name, text) in [("nested", nested), ("wide", wide)] {
        let module = wat::parse_str(format!("(module {text})")).unwrap();
        let mut run = Run::new(module);
        run.limits.seconds = 5;
        // Compiled in time or not: an end, and the node lives.
        match run.run() {
            Ok(outcome) => assert_eq!(outcome.exit_code, 0, "{name}"),
            Err(RunError::TimeLimit(5) | RunError::NotWasm(_) | RunError::MemoryLimit(_)) => {}
            Err(other) => panic!("{name}: {other:?}"),
        }
    }
    // A module of 300 MB is not even read.
    let mut huge = b"\0asm\x01\0\0\0".to_vec();
    huge.resize(300 << 20, 0);
    let error = Run::new(huge).run().unwrap_err();
    assert!(matches!(&error, RunError::NotWasm(reason) if reason.contains("larger")), "{error:?}");
}

pub(super) fn forged_preparation_is_refused() {
    let imports = r#"(import "fog" "poll" (func $poll)) (import "fog" "push" (func $push (param i64)))
        (import "fog" "pop" (func $pop (result i64))) (memory (export "memory") 1)"#;
    let globals = r#"(global (export "fog:state") (mut i32) (i32.const 0)) (global (export "fog:flag") (mut i32) (i32.const 0))"#;
    let cases: &[(&str, String, Ends)] = &[
        ("no globals", format!(r#"{imports} (func (export "_start"))"#), |e| {
            matches!(e, RunError::NotWasm(reason) if reason.contains("fog:state"))
        }),
        (
            "constant globals",
            format!(
                r#"{imports} (global (export "fog:state") i32 (i32.const 0)) (global (export "fog:flag") (mut i64) (i64.const 0)) (func (export "_start"))"#
            ),
            |e| matches!(e, RunError::NotWasm(_)),
        ),
        (
            "pushes unasked",
            format!(r#"{imports} {globals} (func (export "_start") (loop $l (call $push (i64.const 1)) (br $l)))"#),
            |e| matches!(e, RunError::Denied(what) if what.contains("misuse")),
        ),
        (
            "pops unasked",
            format!(r#"{imports} {globals} (func (export "_start") (loop $l (drop (call $pop)) (br $l)))"#),
            |e| matches!(e, RunError::Denied(what) if what.contains("misuse")),
        ),
        (
            "polls without end",
            format!(r#"{imports} {globals} (func (export "_start") (loop $l (call $poll) (br $l)))"#),
            |e| *e == RunError::TimeLimit(1),
        ),
        (
            "a wrong type",
            r#"(import "fog" "poll" (func (param i64))) (memory (export "memory") 1) (func (export "_start"))"#.into(),
            |e| matches!(e, RunError::Trap(_) | RunError::NotWasm(_) | RunError::Denied(_)),
        ),
    ];
    for engine in [EngineKind::Jit, EngineKind::Interpreter] {
        for (name, text, expected) in cases {
            let mut run = Run::new(wat::parse_str(format!("(module {text})")).unwrap());
            run.engine = engine;
            run.limits.seconds = seconds(*expected);
            let error = run.run().map(drop).unwrap_err();
            assert!(expected(&error), "{name} in {engine:?}: {error:?}");
        }
    }
}

pub(super) fn ten_gigabytes_of_complaints() {
    // 10 GB to standard error, 64 KiB at a time.
    let run = program(
        r#"(memory (export "memory") 2)
        (func (export "_start") (local $n i32)
          (i32.store (i32.const 4) (i32.const 65536))
          (loop $l
            (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $n) (i32.const 152588)))))"#,
    );
    let (result, events) = run.run_heard();
    // It may or may not have had the time; what matters is what it cost us.
    match result {
        Ok(outcome) => assert!(outcome.stderr_tail.len() <= 3 * 8192),
        Err(error) => assert_eq!(error, RunError::TimeLimit(20)),
    }
    let logged: usize = events
        .iter()
        .map(|event| if let RunEvent::Log { bytes, .. } = event { bytes.len() } else { 0 })
        .sum();
    assert!(logged < 64 << 20, "{logged} bytes were logged");
    assert!(events.iter().any(|event| matches!(event, RunEvent::Note(text) if text.contains("left out"))));
}

pub(super) fn many_files_end() {
    // Makes files named 0000 to zzzz... until it is stopped.
    let run = program(
        r#"(import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $n i32)
          (loop $l
            (i32.store (i32.const 16) (i32.add (i32.const 0x30303030) (i32.or
              (i32.and (local.get $n) (i32.const 63))
              (i32.or (i32.shl (i32.and (i32.shr_u (local.get $n) (i32.const 6)) (i32.const 63)) (i32.const 8))
                (i32.shl (i32.and (i32.shr_u (local.get $n) (i32.const 12)) (i32.const 63)) (i32.const 16))))))
            (if (call $open (i32.const 4) (i32.const 0) (i32.const 16) (i32.const 4)
              (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8)) (then unreachable))
            (drop (call $close (i32.load (i32.const 8))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br $l)))"#,
    );
    let error = run.run().unwrap_err();
    assert!(matches!(&error, RunError::Denied(what) if what.contains("10000 files")), "{error:?}");
}

pub(super) fn deep_stacks_fit_both_engines() {
    // As deep as compiled code goes with some room to spare, and with calls of several kinds.
    for depth in [5_000, 12_000] {
        let run = |engine| {
            let mut run = program(&format!(
                r#"(type $t (func (param i32) (result i32))) (table funcref (elem $f))
                (func $f (type $t)
                  (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
                    (else (i32.add (i32.const 1)
                      (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))))
                (func (export "_start") (call $exit (i32.and (call $f (i32.const {depth})) (i32.const 127))))"#
            ));
            run.engine = engine;
            run.limits.seconds = 120;
            run.run().unwrap().exit_code
        };
        assert_eq!(run(EngineKind::Jit), (depth + 1) & 127);
        assert_eq!(run(EngineKind::Interpreter), (depth + 1) & 127);
    }
}
