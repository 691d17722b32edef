//! `fog bitchat`: a tool that stands alone, as people use it in a shell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::fog;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};

const ALICE: &str = "4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60";
const ALICE_PUBLIC: &str = "adc14011f82d1c56d956aa4f9d73d8858361a606048525e0d08c638dc75dd8c7";
const MESSAGE: &str = "010207000001977420dc7b02000aaaa8fff703b50b2268656c6c6f206d657368da045326e2c105b597d3c116dc5f0efba9b1ef4d24f546e27e094798f49fa46c9bade52ef34fe521c40969e3a2e0468bf98619bf5084532a706f372d109f210a";
const SEALED: &str = "011107000001977420dc7b01001daaa8fff703b50b226636bbd97ffc80ee00000000aa6699f44b6fe08b4bbebd268c4061b51451b336470585bb1b";
const SESSION: &str = "12d4602681960d79b556daed34c8bee1403a69a287e84614a3ce6bdddfd4d3f6";

fn run(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(fog())
        .arg("bitchat")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not read, which is no failure of the test.
    _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn refused(output: &Output, code: i32, part: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && error.contains(part), "{:?} {error}", output.status);
}

#[test]
fn a_packet_goes_to_json_and_back() {
    let key = format!("public:{ALICE_PUBLIC}");
    let decoded = run(&["decode", MESSAGE, "--key", &key], "");
    assert_eq!(decoded.status.code(), Some(0));
    let packet = json(&decoded);
    assert_eq!(packet["type"], "message");
    assert_eq!(packet["sender"], "aaa8fff703b50b22");
    assert_eq!(packet["content"]["text"], "hello mesh");
    assert_eq!(packet["signature_check"], "valid");
    assert_eq!(packet["problems"], json!([]));
    let again = run(&["encode"], &packet.to_string());
    assert_eq!(String::from_utf8(again.stdout).unwrap().trim(), MESSAGE);

    let said = json!({
        "type": "message",
        "sender": "aaa8fff703b50b22",
        "timestamp_ms": 1_750_000_000_123_u64,
        "content": {"text": "hello mesh"},
    });
    let made = run(&["encode", "-", "--json", "--key", &format!("signing:{ALICE}")], &said.to_string());
    assert_eq!(json(&made), json!({"hex": MESSAGE, "length": 96, "problems": []}));
}

#[test]
fn keys_in_a_file_open_what_comes_on_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    std::fs::write(&keys, format!("# of the session\nsession:{SESSION}\n")).unwrap();
    let spaced: Vec<String> =
        SEALED.as_bytes().chunks(2).map(|c| String::from_utf8_lossy(c).into()).collect();
    let opened = json(&run(&["decode", "-", "--key", keys.to_str().unwrap()], &spaced.join(" ")));
    assert_eq!(opened["opened"]["private"]["content"], json!({"id": "m1", "content": "hi"}));
    assert!(json(&run(&["decode", SEALED], ""))["opened"].is_null());
}

#[test]
fn what_is_wrong_is_told_and_fails() {
    let bent = MESSAGE.replace("68656c6c6f", "68656c6c65");
    let wrong = run(&["decode", &bent, "--key", &format!("public:{ALICE_PUBLIC}")], "");
    refused(&wrong, 1, "the signature is not valid");
    assert_eq!(json(&wrong)["signature_check"], "wrong");
    let cut = run(&["decode", &MESSAGE[..40]], "");
    refused(&cut, 1, "this is no packet");
    assert_eq!(json(&cut)["hex"], MESSAGE[..40]);

    refused(&run(&["decode", "zz"], ""), 2, "hexadecimal");
    refused(&run(&["decode", MESSAGE, "--key", "noise:12"], ""), 2, "64 hexadecimal digits");
    refused(&run(&["decode", MESSAGE, "--key", "nothing"], ""), 2, "--key takes KIND:HEX");
    refused(&run(&["encode"], "{"), 2, "this is not JSON");
    refused(&run(&["encode"], "{\"type\": \"message\"}"), 2, "missing field `sender`");
    refused(&run(&["encode", "/nowhere/packet.json"], ""), 5, "/nowhere/packet.json");
    let unsigned = json!({"type": "message", "sender": "aaa8fff703b50b22", "content": {"text": "hi"}});
    let made = run(&["encode"], &unsigned.to_string());
    refused(&made, 0, "nobody believes an unsigned message");
    assert_eq!(made.stdout.len(), 2 * 24 + 1);
}
