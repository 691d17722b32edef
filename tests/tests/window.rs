//! The real window under a virtual display: first run, chat with a second node, a vote, and a second start.
//!
//! `cargo xtask test` installs what it needs. By hand: `cargo build -p fog-cli -p fog-compute`, then
//! `cargo test -p fog-e2e --features window --test window`.
#![cfg(feature = "window")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use fog_e2e::window::{Desktop, Window, terminate};
use fog_e2e::{Node, eventually, fog, wordcount};
use serde_json::json;
use std::process::Command;
use std::time::Instant;

const VOTE: &str = "10000000000000000000000";

fn first_run(window: &Window) {
    window.wait("first-run");
    window.type_into("first-run-name", "Ada");
    window.click("first-run-submit");
    window.wait("overview");
}

fn online(node: &Node) {
    eventually("the window's node to be online", || {
        (node.try_fog(&["status"]).ok()?["network"] == "online").then_some(())
    });
}

#[test]
fn a_person_starts_chats_and_votes_in_the_window() {
    let desktop = Desktop::start();
    let dir = desktop.path("ada");
    let window = desktop.open(&dir);
    // The command line reaches the window's node.
    let ada = Node::at(&dir, &[]);

    first_run(&window);
    online(&ada);

    // Chat: Bob asks, Ada accepts; a message each way.
    let bob = Node::new("Bob", &["--mean-delay-ms", "5"]);
    bob.fog(&["chat", "add", &ada.card()]);
    window.click("nav-chat");
    window.click("contact");
    window.wait_text("asking", "Bob added you");
    window.click("accept-contact");
    let sent = bob.fog(&["chat", "send", "Ada", "Hello, window", "--wait"]);
    window.wait_text("message", "Hello, window");
    // It is on Ada's screen, so Bob learns that it was read.
    bob.wait_status("Ada", "read");
    assert!(sent["status"] == "delivered" || sent["status"] == "read", "{sent}");
    window.type_into("composer", "Hello, Bob <script>alert(1)</script>");
    window.click("send");
    window.wait_attribute("message-status", "data-status", &["delivered"]);
    assert_eq!(bob.texts("Ada"), ["Hello, window", "Hello, Bob <script>alert(1)</script>"]);
    bob.fog(&["chat", "read", "Ada"]);
    window.wait_attribute("message-status", "data-status", &["read"]);

    // Vote: Bob proposes, Ada votes in the window, Bob counts it; then Bob's vote shows in the window.
    let proposal = bob.fog(&["dao", "propose", "Quiet nights", "--body", "No jobs from ten to seven."]);
    let id = proposal["id"].as_str().unwrap();
    window.click("nav-governance");
    window.click("proposal");
    window.wait_text("proposal-text", "No jobs from ten to seven.");
    window.click("vote-yes");
    window.wait_attribute("vote-yes", "aria-pressed", &["true"]);
    eventually("Ada's vote to be counted by Bob", || {
        let p = bob.fog(&["dao", "list", id]);
        (p["tally"]["yes"] == VOTE && p["votes"][0]["name"] == "Ada").then_some(())
    });
    bob.fog(&["dao", "vote", id, "no"]);
    window.wait_text("tally-no", "10,000");
    window.wait_text("tally-yes", "10,000");

    // A second start goes straight in, and everything is there.
    window.close();
    assert_eq!(ada.try_fog(&["status"]).unwrap_err().0, 3, "the node ends with its window");
    drop(window);
    let start = Instant::now();
    let window = desktop.open(&dir);
    window.wait("overview");
    eprintln!("second start: overview after {:?}, the driver's start included", start.elapsed());
    assert_eq!(window.count("first-run"), 0);
    window.click("nav-chat");
    window.click("contact");
    window.wait_text("message", "Hello, Bob");
    assert_eq!(window.count("message"), 2, "each once");
    window.click("nav-governance");
    window.click("proposal");
    window.wait_text("tally-yes", "10,000");
    window.wait_attribute("vote-yes", "aria-pressed", &["true"]);
}

#[test]
fn a_contacts_job_runs_in_the_windows_own_sandbox() {
    let desktop = Desktop::start();
    let dir = desktop.path("ada");
    let window = desktop.open(&dir);
    first_run(&window);
    let ada = Node::at(&dir, &[]);
    online(&ada);
    let bob = Node::new("Bob", &["--mean-delay-ms", "5"]);
    bob.meet(&ada, "Bob");
    window.click("nav-compute");
    window.click("work-now");
    let text = bob.dir.join("text");
    wordcount::write_text(&text, 100_000);
    let module = wordcount::module();
    let (module, input) = (module.to_str().unwrap(), text.to_str().unwrap());
    let job = bob.fog(&["job", "submit", "--to", "Ada", "--wasm", module, "--input", input]);
    let id = job["id"].as_str().unwrap();
    eventually("the job to end", || {
        let job = bob.fog(&["job", "status", id]);
        assert!(job["state"] != "failed", "{job}");
        (job["state"] == "completed").then_some(())
    });
    window.wait_text("job-state", "Completed");
    let got = Command::new(fog()).arg("-d").arg(&bob.dir).args(["job", "get", id]).output().unwrap();
    let counted = wordcount::numbers(&String::from_utf8_lossy(&got.stdout));
    assert_eq!(counted, wordcount::wc(&text));
    window.close();
}

#[test]
fn the_page_can_call_the_shell_and_nothing_else() {
    let desktop = Desktop::start();
    let window = desktop.open(&desktop.path("ada"));
    first_run(&window);
    let call = |name: &str, args: &str| {
        let script = format!(
            "const done = arguments[0]; window.__TAURI__.core.invoke({name:?}, {args})\
             .then((ok) => done({{ok}}), (error) => done({{error}}));"
        );
        window.script(&script).unwrap()
    };
    // Bytes go in and come out as a file, within the downloads, whatever name was wished for.
    let hash = call("upload", "new Uint8Array([70, 111, 103])")["ok"].clone();
    assert_eq!(hash.as_str().map(str::len), Some(64), "{hash}");
    let saved = call("save_blob", &json!({"hash": hash, "name": "../../fog.txt"}).to_string());
    let path = desktop.home.join("Downloads/fog.txt");
    assert_eq!(saved["ok"], path.to_str().unwrap(), "{saved}");
    assert_eq!(std::fs::read(&path).unwrap(), b"Fog");
    let missing = call("save_blob", &json!({"hash": "00".repeat(32), "name": "x"}).to_string());
    assert_eq!(missing["error"]["kind"], "not_found", "{missing}");
    let malformed = call("command", r#"{"command": {"command": "no_such"}}"#);
    assert!(malformed["error"].is_string(), "{malformed}");
    // What no capability names is refused, and no other address can be loaded.
    for (name, args) in [
        ("plugin:window|set_title", r#"{"label": "main", "value": "Mine"}"#),
        ("plugin:event|emit", r#"{"event": "fog-event", "payload": {}}"#),
        ("plugin:webview|create_webview_window", r#"{"options": {"label": "x"}}"#),
    ] {
        let refused = call(name, args);
        assert!(refused["error"].as_str().is_some_and(|e| e.contains("not allowed")), "{name}: {refused}");
    }
    let elsewhere = window.script(
        "const done = arguments[0]; fetch('https://127.0.0.1:9/').then(() => done('loaded'), (e) => done(e.name));",
    );
    assert_eq!(elsewhere.unwrap(), "TypeError");
    window.script("location.href = 'http://127.0.0.1:9/'; setTimeout(arguments[0], 500);").unwrap();
    window.wait("overview");
    window.close();
}

#[test]
fn a_start_that_fails_says_why_and_fails() {
    let desktop = Desktop::start();
    let dir = desktop.path("ada");
    // A node without a window has the folder: there is nothing to show instead.
    let mut first = Node::at(&dir, &["--name", "Ada"]);
    first.start();
    let mut second = desktop.start_app(&dir, "second");
    eventually("the second to say why", || second.printed().contains("another Fog Compute").then_some(()));
    // It stays for the person to read it.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(second.runs());
    terminate(&second);
    assert_eq!(second.wait(), Some(1));
    first.kill();

    std::fs::write(dir.join("fog.db"), "not a database").unwrap();
    // What a killed node wrote last is here, and may be enough to make a database again.
    for rest in ["fog.db-wal", "fog.db-shm"] {
        _ = std::fs::remove_file(dir.join(rest));
    }
    let mut damaged = desktop.start_app(&dir, "damaged");
    eventually("it to say why", || damaged.printed().contains("fog.db").then_some(()));
    terminate(&damaged);
    assert_eq!(damaged.wait(), Some(1));
    assert_eq!(std::fs::read(dir.join("fog.db")).unwrap(), b"not a database", "left as it was");
}
