//! `fog job` from end to end on one node, with the example jobs: inputs, files that come back, arrays, jobs that wait for
//! others, logs, retry, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fog_e2e::{Node, fog, repository, wordcount};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A node that works for itself; no mixing delay, since nothing leaves it.
fn node() -> Node {
    Node::new("Ada", &["--mean-delay-ms", "0"])
}

fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name).join(format!("{name}.wasm"))
}

/// `fog` as a person runs it, without `--json`.
fn plain(node: &Node, args: &[&str]) -> Output {
    let mut command = Command::new(fog());
    command.arg("-d").arg(&node.dir).args(args).stdin(Stdio::null());
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs an example on this device to its end; the job.
fn run(node: &Node, name: &str, options: &[&str]) -> Value {
    let module = example(name);
    let mut args = vec!["job", "submit", "--to", "me", "--wait", "--wasm", module.to_str().unwrap()];
    args.extend(options);
    let job = node.fog(&args);
    assert_eq!(job["state"], "completed", "{job:#}");
    job
}

fn id(job: &Value) -> &str {
    job["id"].as_str().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let list = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = list.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_goes_in_and_files_come_out() {
    let node = node();
    let out = tempfile::tempdir().unwrap();
    let docs = repository().join("docs");
    let job = run(&node, "search-folder", &["--in", docs.to_str().unwrap(), "--", "mixnet"]);
    let found = text(&plain(&node, &["job", "get", id(&job)]));
    let first = found.lines().next().unwrap();
    let (name, rest) = first.split_once(':').unwrap();
    let (number, line) = rest.split_once(':').unwrap();
    let source = std::fs::read_to_string(docs.join(name)).unwrap();
    assert_eq!(source.lines().nth(number.parse::<usize>().unwrap() - 1).unwrap(), line);

    // The files, checked by the system's own tool.
    let folder = out.path().join("found");
    let got = node.fog(&["job", "get", id(&job), "-o", folder.to_str().unwrap()]);
    assert_eq!(got["files"][0]["path"], folder.join("SHA256SUMS").to_str().unwrap());
    let check = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet"])
        .arg(folder.join("SHA256SUMS"))
        .current_dir(&docs)
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    // What is there already is not written over.
    let (code, error) = node.try_fog(&["job", "get", id(&job), "-o", folder.to_str().unwrap()]).unwrap_err();
    assert!(code == 1 && error.contains("--force"), "{code} {error}");
    node.fog(&["job", "get", id(&job), "-o", folder.to_str().unwrap(), "--force"]);

    // Folders in, folders out.
    let pictures = repository().join("examples/thumbnails/pictures");
    let job = run(&node, "thumbnails", &["--in", pictures.to_str().unwrap(), "--", "--size", "64"]);
    let folder = out.path().join("small");
    node.fog(&["job", "get", id(&job), "-o", folder.to_str().unwrap()]);
    assert_eq!(names(&folder), ["deep", "film.jpg.png"]);
    assert_eq!(names(&folder.join("deep")), ["page.png.png"]);
    // A name of one's own, one file.
    let film = format!("other/name.jpg={}", pictures.join("film.jpg").display());
    let job = run(&node, "thumbnails", &["--in", &film]);
    assert!(text(&plain(&node, &["job", "get", id(&job)])).starts_with("other/name.jpg: 320 x 180"));
}

#[test]
fn an_array_runs_each_index_and_a_job_adds_up_what_it_printed() {
    let node = node();
    let prices = example("monte-carlo");
    let prices = prices.to_str().unwrap();
    let parts = run(&node, "monte-carlo", &["--array", "3-6", "--", "--paths", "20000"]);
    assert_eq!(parts["array"]["completed"], 4, "{parts:#}");
    let elements = node.fog(&["job", "list", id(&parts)]);
    let indices: Vec<u64> =
        elements.as_array().unwrap().iter().map(|e| e["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [3, 4, 5, 6]);
    let printed = text(&plain(&node, &["job", "get", id(&parts)]));
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!((1..4).all(|n| lines[n] != lines[0]), "each element has paths of its own: {printed}");

    // Added up by a job that reads one's own standard input.
    let mut child = Command::new(fog())
        .arg("-d")
        .arg(&node.dir)
        .args(["job", "submit", "--to", "me", "--wait", "--stdin", "-", "--wasm", prices, "--", "--combine"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), printed.as_bytes()).unwrap();
    let sum: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(sum["paths"], 80_000);

    // A job that reads another's output waits for it.
    let first = node.fog(&["job", "submit", "--to", "me", "--wasm", prices, "--", "--paths", "20000"]);
    let input = format!("stdout:{}", id(&first));
    let second = run(&node, "monte-carlo", &["--stdin", &input, "--", "--combine"]);
    assert_eq!(node.fog(&["job", "status", id(&first)])["state"], "completed");
    let sum: Value = serde_json::from_str(&text(&plain(&node, &["job", "get", id(&second)]))).unwrap();
    assert_eq!(sum["paths"], 20_000);

    // Pictures, one for each index.
    let out = tempfile::tempdir().unwrap();
    let size = ["--width", "32", "--height", "18", "--samples", "2"];
    let mut options = vec!["--array", "0-2", "--"];
    options.extend(size);
    let film = run(&node, "render-frames", &options);
    node.fog(&["job", "get", id(&film), "-o", out.path().to_str().unwrap()]);
    for n in ["0", "1", "2"] {
        let frame = std::fs::read(out.path().join(n).join(format!("frame-000{n}.png"))).unwrap();
        assert!(frame.starts_with(b"\x89PNG"));
    }
}

#[test]
fn logs_states_and_exit_codes_are_told() {
    let node = node();
    // The log, and progress lines that are not part of it.
    let job = run(&node, "render-frames", &["--", "--width", "16", "--height", "16", "--samples", "1"]);
    let log = text(&plain(&node, &["job", "logs", id(&job)]));
    assert!(log.contains("frame 0: 16 x 16") && !log.contains("fog:progress"), "{log}");
    let shown = text(&plain(&node, &["job", "status", id(&job)]));
    assert!(shown.contains("completed") && shown.contains("on this device"), "{shown}");

    // A program that fails: its words are in the log, and its exit code is ours to see.
    let prices = example("monte-carlo");
    let prices = prices.to_str().unwrap();
    let failing = ["job", "submit", "--to", "me", "--wait", "--wasm", prices, "--", "--kind", "swap"];
    let failed = plain(&node, &failing);
    assert_eq!(failed.status.code(), Some(1));
    let newest = node.fog(&["job", "list", "--state", "failed"])[0].clone();
    assert_eq!((&newest["exit_code"], &newest["state"]), (&1.into(), &"failed".into()), "{newest:#}");
    assert!(text(&plain(&node, &["job", "logs", id(&newest)])).contains("there is no kind swap"));
    // Again: the same end, but a try of its own.
    node.fog(&["job", "retry", id(&newest)]);
    assert_eq!(plain(&node, &["job", "wait", id(&newest)]).status.code(), Some(1));

    // One that does not end is stopped.
    let long = node.fog(&["job", "submit", "--to", "me", "--wasm", prices, "--", "--paths", "100000000000"]);
    let (code, error) = node.try_fog(&["job", "wait", id(&long), "--timeout", "0"]).unwrap_err();
    assert!(code == 1 && error.contains("still"), "{code} {error}");
    assert_eq!(node.fog(&["job", "cancel", id(&long)])["state"], "cancelled");
    assert!(node.fog(&["job", "list", "--state", "cancelled", "--mine"]).as_array().unwrap().len() == 1);
    assert!(node.fog(&["job", "list", "--others"]).as_array().unwrap().is_empty());

    // What is wrong is told, with the code for it.
    for (args, code, about) in [
        (&["job", "status", "ffffffff"][..], 5, "no job"),
        (&["job", "submit", "--wasm", "/nowhere.wasm"], 1, "cannot be read"),
        (&["job", "submit", "--wasm", prices, "--to", "Nobody"], 5, "no contact"),
        (&["job", "submit", "--wasm", prices, "--to", "me", "--env", "A"], 2, "NAME=VALUE"),
        (&["job", "submit", "--wasm", prices, "--to", "me", "--in", "../x=stdout:1"], 2, "/in"),
        (&["job", "submit", "--wasm", prices, "--array", "5-1"], 2, "0-99"),
        (&["job", "submit", "--wasm", prices, "--cores", "99"], 2, "0.5 to 16"),
        (&["job", "submit", "--to", "me"], 2, "--wasm"),
        (&["job", "get", id(&newest), "-o", "/nowhere/at/all"], 5, "no files"),
    ] {
        let output = node.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(code) && said.contains(about),
            "{args:?}: {:?} {said}",
            output.status
        );
    }
}

#[test]
fn a_prepared_module_does_the_same() {
    let node = node();
    let folder = tempfile::tempdir().unwrap();
    let (module, text_file) = (folder.path().join("movable.wasm"), folder.path().join("text"));
    wordcount::write_text(&text_file, 100_000);
    let count = example("word-count");
    let made = node.fog(&["job", "prepare", count.to_str().unwrap(), "-o", module.to_str().unwrap()]);
    assert!(made["rewritten"].as_u64().unwrap() > 0, "{made}");
    let args = ["job", "submit", "--to", "me", "--wait", "--stdin", text_file.to_str().unwrap(), "--wasm"];
    let counted = text(&plain(&node, &[&args[..], &[module.to_str().unwrap()]].concat()));
    assert_eq!(wordcount::numbers(&counted), wordcount::wc(&text_file));
    // Twice is once too often, and what is no module is told.
    for wrong in [&module, &text_file] {
        let again = folder.path().join("again.wasm");
        let args = ["job", "prepare", wrong.to_str().unwrap(), "-o", again.to_str().unwrap()];
        assert_eq!(node.try_fog(&args).unwrap_err().0, 2);
        assert!(!again.exists());
    }
}
