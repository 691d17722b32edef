//! What a program is given, in all three ways to run it; the cache; the events; the warm process.

use super::{ECHO, LOOP, Run, program, runtime, sandbox};
use fog_jobs::{EngineKind, Events, RunEvent, RunHandle, StreamKind};
use std::collections::BTreeMap;
use std::io::Read;

pub(super) const TOUR: &[u8] = include_bytes!("guests/tour.wasm");
const TOUR_P2: &[u8] = include_bytes!("guests/tour-p2.wasm");

fn tour(module: &[u8]) -> Run {
    let mut run = Run::new(module.to_vec());
    run.input = Some(b"some words".to_vec());
    run.inputs = vec![("data/a.txt", b"the first".to_vec()), ("data/b.txt", b"the second".to_vec())];
    run.args = vec!["one".into(), "two".into()];
    run.env = vec![("FOG".into(), "1".into())];
    run.deterministic = true;
    run
}

/// The files of an archive.
pub(super) fn unpack(path: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), bytes);
    }
    files
}

fn check(run: &Run) {
    let outcome = run.run().unwrap();
    let output = String::from_utf8(run.output()).unwrap();
    assert_eq!(outcome.exit_code, 0, "{output}{}", outcome.stderr_tail);
    for line in [
        "args one,two",
        "env FOG=1",
        "stdin some words",
        "in a.txt,b.txt",
        "a the first",
        "size 9",
        "write to /in refused",
        "make in /in refused",
        "remove from /in refused",
        "b hello World",
        "list 1",
        "open /etc/passwd refused",
        "open /out/../etc/passwd refused",
        "open /out/../../etc/passwd refused",
        "open /in/../../../../etc/passwd refused",
        "open /out/moved/../../../etc/passwd refused",
        "open /proc/self/mem refused",
        "open etc/passwd refused",
        "link refused",
        "connect refused",
        "slept true",
        // 2000-01-01, at midnight.
        "second 946684800",
    ] {
        assert!(output.lines().any(|found| found == line), "`{line}` is not in\n{output}");
    }
    assert_eq!(outcome.stderr_tail, "the end\n");
    let files = unpack(&outcome.files.unwrap());
    let expected = [("moved/", &b""[..]), ("moved/er/", b""), ("moved/er/b.txt", b"hello World!")];
    assert_eq!(files, expected.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).into());
}

pub(super) fn a_tour_of_what_a_job_is_given() {
    check(&tour(TOUR));
}

pub(super) fn a_component_takes_the_same_tour() {
    check(&tour(TOUR_P2));
}

pub(super) fn an_interpreter_takes_the_same_tour() {
    let mut run = tour(TOUR);
    run.engine = EngineKind::Interpreter;
    check(&run);
}

pub(super) fn replicas_agree_bit_for_bit() {
    for module in [TOUR, TOUR_P2] {
        let (first, second) = (tour(module), tour(module));
        let (a, b) = (first.run().unwrap(), second.run().unwrap());
        assert_eq!(String::from_utf8(first.output()), String::from_utf8(second.output()));
        assert_eq!(std::fs::read(a.files.unwrap()).unwrap(), std::fs::read(b.files.unwrap()).unwrap());
        assert_eq!(a.fuel, b.fuel);
    }
    // And not because chance never changes anything.
    let (mut first, mut second) = (tour(TOUR), tour(TOUR));
    (first.deterministic, second.deterministic) = (false, false);
    first.run().unwrap();
    second.run().unwrap();
    assert_ne!(first.output(), second.output());
}

/// Each engine counts fuel in its own way, the same each time; what copies of a job are compared by is the same in both.
pub(super) fn engines_agree_but_for_fuel() {
    let results = [EngineKind::Jit, EngineKind::Interpreter].map(|engine| {
        let mut run = tour(TOUR);
        run.engine = engine;
        let first = run.run().unwrap();
        let files = std::fs::read(first.files.unwrap()).unwrap();
        run.share = 0.5;
        let again = run.run().unwrap();
        assert!(first.fuel > 1000);
        assert_eq!(again.fuel, first.fuel, "{engine:?}");
        (run.output(), files, again.exit_code, again.stderr_tail)
    });
    assert!(results[0] == results[1], "the engines differ");
}

pub(super) fn a_deterministic_component_waits_by_its_own_clock() {
    // Its clock jumps to the end of an hour. By the system's clock this would last longer than its limit.
    let mut run = tour(TOUR_P2);
    run.args = vec!["wait".into()];
    run.limits.seconds = 120;
    let outcome = run.run().unwrap();
    assert_eq!((outcome.exit_code, String::from_utf8(run.output()).unwrap()), (0, "waited an hour\n".into()));
}

pub(super) fn native_code_is_kept_and_damage_found() {
    let mut run = program(ECHO);
    run.input = Some(b"hello".to_vec());
    let folder = tempfile::tempdir().unwrap();
    let sandbox = sandbox().with_cache(folder.path().join("compiled")).unwrap();
    let once = |expected: &[u8]| {
        let result = runtime().block_on(sandbox.run(run.request(), &RunHandle::new(1.0), Events::none()));
        assert_eq!(result.unwrap().exit_code, 0);
        assert_eq!(run.output(), expected);
    };
    let kept = || -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder.path().join("compiled")).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().len() == 64)
            .collect()
    };
    once(b"hello");
    let files = kept();
    assert_eq!(files.len(), 1);
    let written = std::fs::metadata(&files[0]).unwrap().len();
    once(b"hello");
    assert_eq!(kept(), files, "it was compiled twice");
    // One bit of the native code: it is not loaded but compiled anew.
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&files[0], &bytes).unwrap();
    once(b"hello");
    assert_eq!(std::fs::metadata(&files[0]).unwrap().len(), written);
    assert_ne!(std::fs::read(&files[0]).unwrap(), bytes);
    // Rubbish with a right length of seal.
    std::fs::write(&files[0], b"rubbish").unwrap();
    std::fs::write(files[0].with_extension("seal"), [7; 32]).unwrap();
    once(b"hello");
}

pub(super) fn events_tell_what_happens() {
    let (result, events) = tour(TOUR).run_heard();
    result.unwrap();
    assert!(events.contains(&RunEvent::Progress { permille: 500 }), "{events:?}");
    let mut logs: BTreeMap<bool, Vec<u8>> = BTreeMap::new();
    for event in events {
        if let RunEvent::Log { stream, bytes } = event {
            logs.entry(stream == StreamKind::Stdout).or_default().extend(bytes);
        }
    }
    assert!(logs[&true].starts_with(b"args one,two\n"));
    assert_eq!(logs[&false], b"the end\n");
}

pub(super) fn a_warm_process_serves_one_job() {
    super::processes::alone();
    let living = || {
        let mut all = super::processes::children("/proc/self/task");
        all.retain(|pid| super::processes::lives(*pid));
        all
    };
    let run = program(r#"(func (export "_start"))"#);
    let endless = program(LOOP);
    runtime().block_on(async {
        let sandbox = sandbox();
        sandbox.warm().await;
        let warm = living();
        assert_eq!(warm.len(), 1, "one process waits");
        sandbox.run(run.request(), &RunHandle::new(1.0), Events::none()).await.unwrap();
        assert!(!living().contains(&warm[0]), "it served a job and lives");
        // A warm process that died meanwhile is not used.
        sandbox.warm().await;
        for child in living() {
            let pid = rustix::process::Pid::from_raw(child as i32).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            // Until it is dead, though nobody has waited for it.
            while super::processes::lives(child) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
        sandbox.run(run.request(), &RunHandle::new(1.0), Events::none()).await.unwrap();
        let handle = RunHandle::new(1.0);
        handle.cancel();
        let error = sandbox.run(endless.request(), &handle, Events::none()).await.unwrap_err();
        assert_eq!(error, fog_jobs::RunError::Cancelled);
    });
}
