//! Two hosts with a network between them share jobs both ways, and a job comes to its right end through everything that
//! happens to devices: an owner who takes one back, a node that is killed, a cable that is pulled.
//!
//! The hosts are network namespaces, so this takes root; without it the test says so and is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use fog_e2e::hosts::Hosts;
use fog_e2e::{Node, Process, eventually, fog, fog_on, repository, within, wordcount};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Far longer than anything takes: machines are slow.
const PATIENCE: Duration = Duration::from_secs(600);
/// Work for about a minute of a core: long enough that each blow meets it running.
const PATHS: &str = "700000000";
const AUTHORITY_PORT: u16 = 20_000;

/// The relays of a mixnet, on one host, reachable from all.
struct Mixnet {
    consensus: PathBuf,
    _processes: Vec<Process>,
    _folder: TempDir,
}

impl Mixnet {
    fn start(host: &str, address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("net");
        let authority = format!("{address}:{AUTHORITY_PORT}");
        let made = Command::new(fog())
            .args(["--json", "mixnet", "new", "--mixnodes", "6", "--authorities", "1", "--epoch-s", "3600"])
            .args(["--voting-s", "10", "--authority-address", &authority, "--dir"])
            .arg(&dir)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let run = |what: &str, dir: &Path, name: &str| {
            let mut command = fog_on(Some(host));
            command.args([what, "--dir"]).arg(dir);
            let process = Process::start(&mut command, folder.path(), name);
            eventually(name, || process.printed().contains("listens").then_some(()));
            process
        };
        let mut processes = vec![run("authority", &dir.join("authority-1"), "authority")];
        for (number, relay) in made["relays"].as_array().unwrap().iter().enumerate() {
            // The relays were made for this machine's loopback; here they are reached from other hosts.
            let dir = Path::new(relay["dir"].as_str().unwrap());
            let file = dir.join("relay.json");
            let mut settings: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            settings["listen"] = format!("{address}:{}", usize::from(AUTHORITY_PORT) + 1 + number).into();
            std::fs::write(&file, settings.to_string()).unwrap();
            processes.push(run("mixnode", dir, &format!("relay-{number}")));
        }
        Self { consensus: dir.join("consensus"), _processes: processes, _folder: folder }
    }

    fn node(&self, folder: &Path, host: &str, name: &str) -> Node {
        let consensus = self.consensus.to_str().unwrap();
        let options = ["--name", name, "--mean-delay-ms", "0", "--consensus", consensus];
        let mut node = Node::at(&folder.join(name), &options);
        node.host = Some(host.into());
        // Silence counts as such after seconds rather than minutes.
        node.environment.push(("FOG_TEST_HASTE".into(), "10".into()));
        node.start();
        node
    }
}

fn units(amount: &Value) -> u128 {
    amount.as_str().expect("an amount").parse().expect("an integer")
}

/// What a job is now, as its sender sees it.
fn status(node: &Node, id: &str) -> Value {
    node.fog(&["job", "status", id])
}

fn output(node: &Node, id: &str) -> String {
    let mut command = fog_on(node.host.as_deref());
    let output = command.arg("-d").arg(&node.dir).args(["job", "get", id]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The number of the last run, and what it is, once it runs on one of these nodes (by name) and has sent a checkpoint that is newer
/// than the one it began with.
fn running(node: &Node, id: &str, at: &[&str], runs_before: usize) -> (usize, Value) {
    within(PATIENCE, &format!("run {} at {at:?} with a checkpoint", runs_before + 1), || {
        let job = status(node, id);
        assert!(job["state"] != "failed" && job["state"] != "completed", "too early: {job:#}");
        let runs = job["attempts"].as_array().unwrap();
        let last = runs.last()?;
        let here = at.iter().any(|name| last["peer_name"] == *name);
        let number = last["checkpoint"].as_u64()?;
        let newer = number > last["resumed_from"].as_u64().unwrap_or(0);
        (runs.len() > runs_before && here && newer && last["state"] == "running")
            .then(|| (runs.len(), last.clone()))
    })
}

#[test]
fn jobs_go_both_ways_and_one_survives_owner_kill_and_cable() {
    let hosts = match Hosts::make(&["hub", "one", "two"]) {
        Ok(hosts) => hosts,
        Err(e) => {
            eprintln!("skipped: this test makes network namespaces, which takes root on Linux ({e})");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let hub = hosts.namespace("hub");
    let net = Mixnet::start(&hub, &Hosts::address(0));
    let sam = net.node(folder.path(), &hub, "Sam");
    let mut ada = net.node(folder.path(), &hosts.namespace("one"), "Ada");
    let mut bob = net.node(folder.path(), &hosts.namespace("two"), "Bob");
    sam.meet(&ada, "Sam");
    sam.meet(&bob, "Sam");
    bob.meet(&ada, "Bob");
    for node in [&ada, &bob] {
        node.fog(&["harvest", "now"]);
    }

    // Both ways.
    let text = folder.path().join("text");
    wordcount::write_text(&text, 200_000);
    let module = wordcount::module();
    for (sender, to) in [(&ada, "Bob"), (&bob, "Ada")] {
        let (module, text) = (module.to_str().unwrap(), text.to_str().unwrap());
        let id = sender.fog(&["job", "submit", "--wasm", module, "--stdin", text, "--to", to])["id"].clone();
        let id = id.as_str().unwrap();
        within(PATIENCE, "a word count", || (status(sender, id)["state"] == "completed").then_some(()));
        assert_eq!(wordcount::numbers(&output(sender, id)), wordcount::wc(text.as_ref()));
        assert_eq!(status(sender, id)["peer_name"], to);
    }

    // The same program in one go, undisturbed: what it must print in the end.
    let prices = repository().join("examples/monte-carlo/monte-carlo.wasm");
    let prices = prices.to_str().unwrap();
    let arguments = ["--checkpoint", "5", "--prepare", "--time", "3000", "--", "--paths", PATHS];
    let submit = |to: &[&str]| -> String {
        let mut args = vec!["job", "submit", "--wasm", prices];
        to.iter().for_each(|who| args.extend(["--to", who]));
        // In class A nothing is compared, so that it may move; this device alone gives class B.
        args.extend(["--class", if to == ["me"] { "B" } else { "A" }]);
        args.extend(arguments);
        sam.fog(&args)["id"].as_str().unwrap().to_owned()
    };
    let before = units(&sam.fog(&["wallet"])["balance"]);
    let id = submit(&["Ada", "Bob"]);

    // An owner takes the device back: it goes on at the other from a checkpoint.
    let (runs, first) = running(&sam, &id, &["Ada", "Bob"], 0);
    let at_ada = first["peer_name"] == "Ada";
    let (first, second) = if at_ada { (&ada, "Bob") } else { (&bob, "Ada") };
    first.fog(&["harvest", "now", "off"]);
    first.fog(&["harvest", "set", "--enabled", "false"]);
    let (runs, run) = running(&sam, &id, &[second], runs);
    assert!(run["resumed_from"].as_u64().unwrap() >= 1, "it began anew: {run}");

    // The owner leaves, and the other node is killed: back to the first.
    first.fog(&["harvest", "set", "--enabled", "true"]);
    first.fog(&["harvest", "now"]);
    let from = run["checkpoint"].as_u64().unwrap();
    let (killed, third, third_host) =
        if at_ada { (&mut bob, "Ada", "one") } else { (&mut ada, "Bob", "two") };
    killed.kill();
    let (runs, run) = running(&sam, &id, &[third], runs);
    assert!(run["resumed_from"].as_u64().unwrap() >= from, "it went back too far: {run}");

    // The killed node is back, and the cable of the other is pulled.
    killed.start();
    killed.fog(&["harvest", "now"]);
    let from = run["checkpoint"].as_u64().unwrap();
    hosts.connect(third_host, false);
    let job = within(PATIENCE, "the job to go on and end", || {
        let job = status(&sam, &id);
        assert_ne!(job["state"], "failed", "{job:#}");
        (job["state"] == "completed").then_some(job)
    });
    let attempts = job["attempts"].as_array().unwrap();
    assert!(attempts.len() > runs, "{job:#}");
    let last = attempts.iter().find(|a| a["state"] == "completed").expect("a run that came to its end");
    assert_eq!(last["peer_name"], second, "{job:#}");
    assert!(last["resumed_from"].as_u64().unwrap() >= from, "it went back too far: {last}");

    // The right result, and it was paid for once.
    let same = submit(&["me"]);
    within(PATIENCE, "the undisturbed run", || (status(&sam, &same)["state"] == "completed").then_some(()));
    let printed = output(&sam, &id);
    assert!(printed.contains("black_scholes"), "{printed}");
    assert_eq!(printed, output(&sam, &same), "what was moved computed something else");
    hosts.connect(third_host, true);
    let paid: u128 = attempts.iter().filter(|a| !a["paid"].is_null()).map(|a| units(&a["paid"])).sum();
    assert_eq!(units(&job["price"]), paid);
    eventually("the sender's ledger", || {
        let wallet = sam.fog(&["wallet"]);
        (units(&wallet["escrow"]) == 0 && units(&wallet["balance"]) + paid == before).then_some(())
    });
    within(PATIENCE, "the workers' ledgers", || {
        // Word counts that they did for each other cancel out but for what they differ.
        let earned: u128 = [&ada, &bob].iter().map(|n| units(&n.fog(&["wallet"])["balance"])).sum();
        (earned == 2 * before + paid).then_some(())
    });
}
