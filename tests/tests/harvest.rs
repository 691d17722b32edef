//! Lending the device: preferences and pauses survive `kill -9`, and a job stands still as soon as its owner's wishes say so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Node, eventually};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command};

#[test]
fn preferences_and_a_pause_survive_a_kill() {
    let mut node = Node::new("Ada", &[]);
    node.fog(&["harvest", "set", "--mode", "conservative"]);
    let status = node.fog(&[
        "harvest",
        "set",
        "--hours",
        "mon-fri 22-7, sat-sun 0-24",
        "--exclusive",
        "blender",
        "--exclusive",
        "steam",
        "--price-per-kwh",
        "0.31",
        "--busy-watts",
        "65",
    ]);
    assert_eq!(status["mode"], "conservative", "what was set on top is not what a mode is about");
    let prefs = &status["prefs"];
    assert_eq!(prefs["hours"], "mon-fri 22:00-07:00, sat-sun 00:00-24:00");
    assert_eq!((&prefs["exclusive"], &prefs["idle_minutes"]), (&json!(["blender", "steam"]), &json!(15)));
    let paused = node.fog(&["harvest", "pause", "2h"]);
    assert_eq!(paused["state"], "disabled");
    assert!(paused["reason"].as_str().unwrap().contains("paused it"), "{paused}");

    node.kill();
    node.start();
    let after = node.fog(&["harvest", "status"]);
    assert_eq!(&after["prefs"], prefs);
    assert_eq!((&after["mode"], &after["paused_until"]), (&json!("conservative"), &paused["paused_until"]));
    assert_eq!(after["power"]["busy_watts"], 65.0);
    assert_eq!(after["today"]["cost"], 0.0, "a price is set, and nothing ran");
    let resumed = node.fog(&["harvest", "pause", "off"]);
    assert_eq!(resumed["paused_until"], Value::Null);
    assert!(!resumed["reason"].as_str().unwrap().contains("paused"));

    // What means nothing is refused, with a word on what would, and changes nothing.
    for (bad, word) in [
        (["harvest", "set", "--hours", "whenever"], "22-7"),
        (["harvest", "set", "--battery-stop", "99"], "lower charge"),
        (["harvest", "set", "--exclusive", "/usr/bin/steam"], "without its folder"),
        (["harvest", "set", "--price-per-kwh", "much"], "number"),
    ] {
        let output = node.run(&bad);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(word), "{bad:?}: {said}");
    }
    let error = node.try_fog(&["harvest", "pause", "soon"]).unwrap_err().1;
    assert!(error.contains("2h"), "{error}");
    assert_eq!(&node.fog(&["harvest", "status"])["prefs"], prefs);
}

/// A program under a name of its own; ended with the test.
struct Program(Child);

impl Program {
    fn start(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        let shell = ["/bin/sleep", "/usr/bin/sleep"].into_iter().find(|p| Path::new(p).exists()).unwrap();
        std::fs::copy(shell, &path).unwrap();
        Self(Command::new(path).arg("3600").spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The processor's ticks that the children of a process have used.
fn childrens_ticks(id: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let ids: Vec<u32> = children
        .flat_map(|c| c.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>())
        .collect();
    let ticks = |id: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
        [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum::<u64>()
    };
    ids.into_iter().map(ticks).sum()
}

#[test]
#[cfg(target_os = "linux")]
fn a_job_stands_still_while_an_exclusive_program_runs() {
    let a = Node::new("Ada", &["--mean-delay-ms", "5"]);
    let b = Node::new("Bob", &["--mean-delay-ms", "5"]);
    b.meet(&a, "Bob");
    // Whoever sits at the machine that tests this, and whatever else it does.
    a.fog(&[
        "harvest",
        "set",
        "--alongside",
        "true",
        "--on-battery",
        "true",
        "--metered",
        "true",
        "--others-percent",
        "0",
        "--grace-seconds",
        "1",
        "--exclusive",
        "fog-test-game",
    ]);
    let module = b.dir.join("forever.wasm");
    let wat = r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;
    std::fs::write(&module, wat::parse_str(wat).unwrap()).unwrap();
    let job =
        b.fog(&["job", "submit", "--to", "Ada", "--wasm", module.to_str().unwrap(), "--seconds", "600"]);
    let id = job["id"].as_str().unwrap();
    let process = a.process_id();
    eventually("the job to work", || (childrens_ticks(process) > 5).then_some(()));
    eventually("the harvester to say so", || {
        let status = a.fog(&["harvest", "status"]);
        (status["state"] == "harvesting" && status["today"]["starts"].as_u64() > Some(0)).then_some(())
    });

    let game = Program::start(&b.dir, "fog-test-game");
    let status = eventually("the game to be noticed", || {
        let status = a.fog(&["harvest", "status"]);
        (status["state"] == "user_active").then_some(status)
    });
    assert_eq!(status["sensors"]["program"], "fog-test-game");
    assert_eq!((&status["allowed"], &status["cpu_share"]), (&json!(false), &json!(0.0)));
    // It stands still: some moment with no tick used in a second, which a working job cannot have.
    eventually("the job to stand still", || {
        let before = childrens_ticks(process);
        std::thread::sleep(std::time::Duration::from_secs(1));
        (childrens_ticks(process) == before).then_some(())
    });
    let stopped = childrens_ticks(process);
    eventually("the job to count as paused, not lost", || {
        (b.fog(&["job", "status", id])["state"] == "checkpointed").then_some(())
    });

    drop(game);
    eventually("the same process to go on", || (childrens_ticks(process) > stopped + 5).then_some(()));
    b.fog(&["job", "cancel", id]);
    let day = a.fog(&["harvest", "status"])["today"].clone();
    assert!(day["worked_seconds"].as_f64().unwrap() > 0.0 && day["jobs_wh"].as_f64().unwrap() > 0.0, "{day}");
}
