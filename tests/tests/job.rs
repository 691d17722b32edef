//! Jobs: the right answer, the right pay, and clear errors for what cannot run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Node, eventually, wordcount};
use serde_json::Value;
use std::process::Command;

fn units(amount: &Value) -> u128 {
    amount.as_str().expect("an amount").parse().expect("an integer")
}

fn pair() -> (Node, Node) {
    let a = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let b = Node::new("Bob", &["--mean-delay-ms", "5"]);
    b.meet(&a, "Bob");
    a.fog(&["harvest", "now"]);
    (a, b)
}

fn run(b: &Node, module: &std::path::Path, more: &[&str]) -> Value {
    let mut args = vec!["job", "submit", "--to", "Ada", "--wasm", module.to_str().unwrap()];
    args.extend(more);
    let id = b.fog(&args)["id"].as_str().expect("id").to_string();
    eventually("the job to end", || {
        let job = b.fog(&["job", "status", &id]);
        let ended = ["completed", "failed", "cancelled"].iter().any(|s| job["state"] == *s);
        ended.then_some(job)
    })
}

#[test]
fn word_count_equals_wc_and_both_ledgers_match_the_receipt() {
    let (a, b) = pair();
    let text = b.dir.join("text");
    wordcount::write_text(&text, 1_500_000);
    let before: Vec<u128> = [&a, &b].map(|n| units(&n.fog(&["wallet"])["balance"])).into();
    let job = run(&b, &wordcount::module(), &["--input", text.to_str().unwrap()]);
    assert_eq!(job["state"], "completed", "{job}");

    let output = Command::new(fog_e2e::fog())
        .arg("-d")
        .arg(&b.dir)
        .args(["job", "get", job["id"].as_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(wordcount::numbers(&String::from_utf8_lossy(&output.stdout)), wordcount::wc(&text));

    let price = units(&job["price"]);
    assert!(price > 0);
    eventually("the worker's ledger", || {
        (units(&a.fog(&["wallet"])["balance"]) == before[0] + price).then_some(())
    });
    let (wa, wb) = (a.fog(&["wallet"]), b.fog(&["wallet"]));
    assert_eq!(units(&wb["balance"]), before[1] - price);
    assert_eq!((units(&wa["earned"]), units(&wb["spent"])), (price, price));
    assert_eq!((units(&wa["escrow"]), units(&wb["escrow"])), (0, 0));
    let theirs = a.fog(&["job", "status", job["id"].as_str().unwrap()]);
    assert_eq!(theirs["price"], job["price"]);
    assert_eq!(theirs["fuel"], job["fuel"]);
    assert!(theirs["output"].is_null(), "the worker's owner is not shown the output");
}

#[test]
fn hostile_modules_fail_clearly_and_cost_nothing() {
    let (a, b) = pair();
    let write = |name: &str, bytes: &[u8]| {
        let path = b.dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let module = |name: &str, wat: &str| write(name, &fog_e2e_wat(wat));
    let balance = units(&b.fog(&["wallet"])["balance"]);

    let (code, error) =
        b.try_fog(&["job", "submit", "--wasm", write("text", b"hello").to_str().unwrap()]).unwrap_err();
    assert!(code == 2 && error.contains("not a WASM module"), "{code} {error}");

    let cut = run(&b, &write("cut", b"\0asm\x01\0\0\0garbage"), &[]);
    let endless = run(
        &b,
        &module("loop", r#"(module (func (export "_start") (loop br 0)) (memory (export "memory") 1))"#),
        &["--seconds", "2"],
    );
    let greedy = run(
        &b,
        &module(
            "mem",
            r#"(module (memory (export "memory") 1) (func (export "_start") (if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable)) (drop (memory.grow (i32.const 65535))) (drop (memory.grow (i32.const 65535)))))"#,
        ),
        &[],
    );
    for (what, job, needles) in [
        ("cut", &cut, &["wasm", "WASM"][..]),
        ("endless", &endless, &["time", "2 s"]),
        ("greedy", &greedy, &["memory"]),
    ] {
        let note = job["note"].as_str().unwrap();
        assert_eq!(job["state"], "failed", "{what}: {job}");
        assert!(needles.iter().any(|n| note.contains(n)), "{what}: {note}");
    }
    assert_eq!(units(&b.fog(&["wallet"])["balance"]), balance, "nothing was paid");
    // One that asks for what it does not have hears no, as WASI has it (76 is `notcapable`), and may go on.
    let opener = module(
        "open",
        r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (data (i32.const 0) "/etc/passwd")
        (func (export "_start") (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 11) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 64)))))"#,
    );
    let opener = run(&b, &opener, &[]);
    assert_eq!((&opener["state"], &opener["exit_code"]), (&"failed".into(), &76.into()), "{opener}");
    assert_eq!(units(&b.fog(&["wallet"])["escrow"]), 0, "nothing is held");
    // Both nodes are well, and the next honest job runs.
    let text = b.dir.join("small");
    wordcount::write_text(&text, 1000);
    assert_eq!(run(&b, &wordcount::module(), &["--input", text.to_str().unwrap()])["state"], "completed");
    assert_eq!(a.fog(&["status"])["network"], "online");
}

/// WAT text to a module.
fn fog_e2e_wat(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).expect("valid WAT")
}
