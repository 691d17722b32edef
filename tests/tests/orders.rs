//! Jobs on several devices: what happens when one disappears or lies, and what runs here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Mixnet, Node, eventually, wordcount};
use serde_json::{Value, json};

fn access(node: &Node) -> (String, String) {
    let bytes = std::fs::read(node.dir.join("api.json")).unwrap();
    let access: Value = serde_json::from_slice(&bytes).unwrap();
    (access["url"].as_str().unwrap().into(), format!("Bearer {}", access["token"].as_str().unwrap()))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

/// A command, as the page sends it.
fn call(node: &Node, command: &Value) -> Value {
    let (url, token) = access(node);
    let sent =
        agent().post(format!("{url}/api/command")).header("authorization", token).send_json(command).unwrap();
    let ok = sent.status().is_success();
    let reply: Value = sent.into_body().read_json().unwrap();
    assert!(ok, "{command} was refused: {reply}");
    reply
}

fn upload(node: &Node, content: &[u8]) -> String {
    let (url, token) = access(node);
    let sent = agent().post(format!("{url}/api/blobs")).header("authorization", token).send(content).unwrap();
    sent.into_body().read_json().unwrap()
}

fn download(node: &Node, hash: &Value) -> Vec<u8> {
    let (url, token) = access(node);
    let hash = hash.as_str().expect("a hash");
    let got = agent().get(format!("{url}/api/blobs/{hash}")).header("authorization", token).call().unwrap();
    got.into_body().read_to_vec().unwrap()
}

fn submit(node: &Node, module: &str, more: &Value) -> Value {
    let mut command = json!({
        "command": "submit_job",
        "name": "a job",
        "program": {"runtime": "wasm", "module": module, "deterministic": true},
    });
    command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(node, &command)
}

fn job(node: &Node, id: &Value) -> Value {
    call(node, &json!({"command": "get_job", "id": id}))
}

fn ended(node: &Node, id: &Value) -> Value {
    eventually("the job to end", || {
        let job = job(node, id);
        ["completed", "failed", "cancelled"].iter().any(|s| job["state"] == *s).then_some(job)
    })
}

/// Counts to so many millions, then prints `done`.
fn counter(millions: u64) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "done\n")
        (func (export "_start") (local $n i64)
          (local.set $n (i64.const {}))
          (loop $more
            (local.set $n (i64.sub (local.get $n) (i64.const 1)))
            (br_if $more (i64.gt_s (local.get $n) (i64.const 0))))
          (i32.store (i32.const 0) (i32.const 16))
          (i32.store (i32.const 4) (i32.const 5))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        millions * 1_000_000
    );
    wat::parse_str(text).unwrap()
}

/// A submitter and workers, all in one network that none of them runs.
fn network(mixnet: &Mixnet, workers: &[&str]) -> (Node, Vec<Node>) {
    let make = |name: &str, environment: &[(&str, &str)]| {
        let consensus = mixnet.consensus.to_str().unwrap();
        let folder = mixnet.consensus.parent().unwrap().join(name);
        let options = ["--mean-delay-ms", "5", "--consensus", consensus, "--name", name];
        let mut node = Node::at(&folder.join("data"), &options);
        std::fs::create_dir_all(&folder).unwrap();
        node.environment = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        node.environment.push(("FOG_TEST_HASTE".into(), "10".into()));
        node.start();
        node
    };
    let bob = make("Bob", &[]);
    let mut made = Vec::new();
    for name in workers {
        let liar: &[(&str, &str)] = if *name == "Liar" { &[("FOG_TEST_FALSIFY", "1")] } else { &[] };
        let node = make(name, liar);
        bob.meet(&node, "Bob");
        node.fog(&["harvest", "now"]);
        made.push(node);
    }
    (bob, made)
}

fn person(bob: &Node, name: &str) -> Value {
    bob.contacts().iter().find(|c| c["name"] == *name).expect("a contact")["id"].clone()
}

#[test]
fn a_killed_workers_job_goes_to_another_device() {
    let mixnet = Mixnet::start();
    let (bob, mut workers) = network(&mixnet, &["Ada", "Cy"]);
    let peers = [person(&bob, "Ada"), person(&bob, "Cy")];
    let module = upload(&bob, &counter(4_000));
    let to = json!({"kind": "contacts", "peers": peers});
    let sent = submit(&bob, &module, &json!({"class": "A", "to": to}));
    let first = eventually("it to run", || {
        let job = job(&bob, &sent["id"]);
        (job["state"] == "running").then(|| job["peer_name"].as_str().unwrap().to_string())
    });
    let number = usize::from(first == "Cy");
    workers[number].kill();
    let done = ended(&bob, &sent["id"]);
    assert_eq!(done["state"], "completed", "{done}");
    assert_eq!(download(&bob, &done["output"]), b"done\n");
    let attempts = done["attempts"].as_array().unwrap();
    assert_ne!(attempts.last().unwrap()["peer_name"], json!(first), "{attempts:?}");
    let paid = attempts.iter().filter(|a| !a["paid"].is_null()).count();
    assert_eq!(paid, 1, "{attempts:?}");
    // The killed one comes back, learns that it is too late, and holds nothing any more.
    workers[number].start();
    eventually("the late one's books to be clear", || {
        (workers[number].fog(&["wallet"])["escrow"] == "0").then_some(())
    });
    assert_eq!(bob.fog(&["wallet"])["escrow"], "0");
}

#[test]
fn a_lying_device_is_outvoted_and_not_paid() {
    let mixnet = Mixnet::start();
    let (bob, workers) = network(&mixnet, &["Ada", "Liar", "Cy"]);
    let text = b"one two three\nfour\n".repeat(1000);
    let input = json!({"from": "upload", "hash": upload(&bob, &text)});
    let module = upload(&bob, &std::fs::read(wordcount::module()).unwrap());
    let sent = submit(&bob, &module, &json!({"class": "S", "stdin": input, "to": {"kind": "anyone"}}));
    let done = ended(&bob, &sent["id"]);
    assert_eq!(done["state"], "completed", "{done}");
    let output = String::from_utf8(download(&bob, &done["output"])).unwrap();
    assert!(!output.contains("falsified") && output.contains("4000"), "{output}");
    assert!(done["checked"].as_str().unwrap().contains("2 devices"), "{done}");
    for attempt in done["attempts"].as_array().unwrap() {
        let liar = attempt["peer_name"] == "Liar";
        assert_eq!(attempt["paid"].is_null(), liar, "{attempt}");
    }
    for (worker, name) in workers.iter().zip(["Ada", "Liar", "Cy"]) {
        eventually("the books to be clear", || {
            let wallet = worker.fog(&["wallet"]);
            (wallet["escrow"] == "0" && (wallet["earned"] == "0") == (name == "Liar")).then_some(())
        });
    }
    let views = call(&bob, &json!({"command": "list_workers"}));
    let score = |name: &str| {
        let view = views.as_array().unwrap().iter().find(|v| v["name"] == *name).unwrap();
        view["reputation"]["score"].as_f64().unwrap()
    };
    assert!(score("Liar") < 0.5 && score("Ada") > 0.5, "{views}");
}

#[test]
fn an_array_and_what_waits_for_it_survive_a_kill() {
    let mut ada = Node::new("Ada", &[]);
    let module = upload(&ada, &counter(20));
    let here = json!({"kind": "this_device"});
    let array = submit(&ada, &module, &json!({"to": here, "array": {"first": 0, "last": 39}}));
    let word_count = upload(&ada, &std::fs::read(wordcount::module()).unwrap());
    let last = submit(
        &ada,
        &word_count,
        &json!({
            "to": here,
            "depends_on": [array["id"]],
            "stdin": {"from": "upload", "hash": upload(&ada, b"a b c\n")},
        }),
    );
    eventually("some to be done", || {
        (job(&ada, &array["id"])["array"]["completed"].as_u64()? >= 3).then_some(())
    });
    assert_eq!(job(&ada, &last["id"])["state"], "pending");
    ada.kill();
    ada.start();
    let done = ended(&ada, &array["id"]);
    assert_eq!((&done["state"], &done["array"]["completed"]), (&json!("completed"), &json!(40)), "{done}");
    let done = ended(&ada, &last["id"]);
    assert_eq!(done["state"], "completed", "{done}");
    assert!(String::from_utf8(download(&ada, &done["output"])).unwrap().contains('3'));
    assert!(done["price"].is_null(), "this device is not paid by itself");
    let elements =
        call(&ada, &json!({"command": "list_job_elements", "id": array["id"], "from": 38, "limit": 10}));
    let indices: Vec<_> = elements.as_array().unwrap().iter().map(|e| e["index"].clone()).collect();
    assert_eq!(indices, [json!(38), json!(39)]);
    let log = call(&ada, &json!({"command": "get_job_log", "id": last["id"], "offset": 0, "limit": 1000}));
    assert_eq!(log["end"], true);
}
