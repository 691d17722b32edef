//! What an honest program gets, and what its owner can do with it.

use super::*;
use std::collections::BTreeMap;
use std::io::Read;
use std::time::Instant;

fn untar(file: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(std::fs::File::open(file).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), text)
    });
    entries.collect()
}

pub fn a_program_has_all_that_it_was_given(lab: &Lab) {
    let mut job = lab
        .sh(r#"cat; cat /in/a.txt /in/deep/b.txt; echo "$GREETING $0 $1 $HOME"; mkdir /out/d; echo made > /out/d/file
            echo fog:progress 0.25 >&2; echo said >&2; touch /out/empty"#)
        .input("a.txt", b"first\n")
        .input("deep/b.txt", b"second\n");
    job.request.args.extend(["zero".into(), "one".into()]);
    job.request.env = vec![("GREETING".into(), "hello there".into())];
    let stdin = job.folder.path().join("stdin");
    // More than the pipes on the way hold.
    let text = "a line of input\n".repeat(20_000);
    std::fs::write(&stdin, &text).unwrap();
    job.request.stdin = Some(stdin);
    let result = job.run();
    assert_eq!(out(&result), format!("{text}first\nsecond\nhello there zero one /tmp\n"));
    let outcome = result.unwrap();
    let files = untar(outcome.files.as_ref().unwrap());
    let expected = [("d", ""), ("d/file", "made\n"), ("empty", "")];
    assert_eq!(files, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(outcome.stderr_tail, "said");
    assert_eq!(job.said(StreamKind::Stderr), "said\n");
    assert!(job.events.lock().unwrap().contains(&RunEvent::Progress { permille: 250 }));
    assert!(outcome.wall_ms <= 120_000 && outcome.cpu_ms <= outcome.wall_ms, "{outcome:?}");
    let scratch: Vec<_> = std::fs::read_dir(job.folder.path().join("scratch")).unwrap().collect();
    assert_eq!(scratch.len(), 2, "only stdout and files.tar stay: {scratch:?}");
}

pub fn exit_code_and_stderr_are_kept(lab: &Lab) {
    let job = lab.sh("echo out; echo wrong >&2; exit 7");
    let outcome = job.run().unwrap();
    assert_eq!((outcome.exit_code, outcome.stderr_tail.as_str()), (7, "wrong"));
    assert_eq!(std::fs::read(outcome.stdout).unwrap(), b"out\n");
    assert_eq!(outcome.files, None);
}

pub fn the_images_own_command(lab: &Lab) {
    let own = serde_json::json!({ "Entrypoint": ["/bin/echo", "own"], "Cmd": ["default"], "Env": ["FROM=image"],
        "User": "0", "WorkingDir": "/etc" });
    let archive = image::saved(lab.folder.path(), &own, "whatever:1");
    let image = Image { reference: "whatever:1".into(), archive: Some(archive) };
    let run = |entrypoint: &[&str], args: &[&str]| out(&lab.job(image.clone(), entrypoint, args).run());
    assert_eq!(run(&[], &[]), "own default\n");
    assert_eq!(run(&[], &["a", "b c"]), "own a b c\n");
    assert_eq!(run(&["/bin/sh", "-c", "echo $FROM $PWD"], &[]), "image /etc\n");
}

pub fn what_cannot_be_started_is_told(lab: &Lab) {
    for entrypoint in ["/bin/nothing", "/etc/passwd"] {
        let told = match lab.job(lab.busybox(), &[entrypoint], &[]).run() {
            // Where there is an init program, it is the one that finds nothing to start.
            Ok(outcome) if outcome.exit_code != 0 => outcome.stderr_tail,
            Ok(outcome) => panic!("{outcome:?}"),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(entrypoint), "{told}");
    }
    let error = lab.job(lab.busybox(), &[], &[]).run().unwrap_err();
    assert!(matches!(&error, RunError::Image(why) if why.contains("give a command")), "{error}");
    assert_eq!(lab.own_containers().len(), 0);
}

pub fn the_owner_pauses_and_throttles(lab: &Lab) {
    let job = lab
        .sh("echo started; until test -e /out/never; do sleep 0.1; i=$((i+1)); test $i = 20 && exit 0; done");
    let began = Instant::now();
    let mut paused_for = Duration::ZERO;
    let paused = &mut paused_for;
    let result = job.run_while(move |job| {
        job.wait_for("started");
        let id = job.container();
        let state = || job.lab.state_of(&id).and_then(|c| c.state).unwrap_or_default();
        job.handle.set_share(0.0);
        wait("the pause", || state().paused == Some(true));
        let since = Instant::now();
        // Long enough to tell from what the accounting rounds.
        while since.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(state().paused, Some(true));
        }
        *paused = since.elapsed();
        job.handle.set_share(0.5);
        let live = job.lab.containers.engine().live_limits;
        if live {
            wait("half a core", || {
                let host = job.lab.state_of(&id).and_then(|c| c.host_config).unwrap_or_default();
                host.nano_cpus == Some(500_000_000)
            });
        } else {
            wait("a turn of work", || state().paused == Some(false));
            wait("a turn of rest", || state().paused == Some(true));
        }
        job.handle.set_share(1.0);
    });
    let outcome = result.unwrap();
    assert_eq!(outcome.exit_code, 0);
    let most = u64::try_from((began.elapsed() - paused_for).as_millis()).unwrap();
    assert!(outcome.wall_ms <= most, "{} ms were counted, at most {most} can be", outcome.wall_ms);
}

pub fn cancel_ends_it(lab: &Lab) {
    let job = lab.sh("echo started; sleep 1000");
    let result = job.run_while(|job| {
        job.wait_for("started");
        // Paused, which makes it harder.
        job.handle.set_share(0.0);
        job.handle.cancel();
    });
    assert_eq!(result.unwrap_err(), RunError::Cancelled);
    assert_eq!(lab.own_containers().len(), 0);
    let job = lab.sh("true");
    job.handle.cancel();
    assert_eq!(job.run().unwrap_err(), RunError::Cancelled);
}

pub fn somebody_removes_the_container(lab: &Lab) {
    let job = lab.sh("echo started; sleep 1000");
    let result = job.run_while(|job| {
        job.wait_for("started");
        let id = job.container();
        let options = bollard::query_parameters::RemoveContainerOptions { force: true, ..Default::default() };
        job.lab.runtime.block_on(job.lab.engine.docker.remove_container(&id, Some(options))).unwrap();
    });
    let error = result.unwrap_err();
    assert!(matches!(error, RunError::Device(_)), "{error}");
}

pub fn dropping_the_run_removes_it(lab: &Lab) {
    let running = || {
        let job = lab.sh("echo started; sleep 1000");
        let containers = lab.containers.clone();
        let (request, handle) = (job.request.clone(), job.handle.clone());
        let run = async move { containers.run(request, &handle, Events::none()).await };
        (lab.runtime.spawn(run), job)
    };
    // While the engine makes it or starts it.
    let (run, job) = running();
    job.container();
    run.abort();
    wait("the removal", || lab.own_containers().is_empty());
    drop(job);
    // While it runs.
    let (run, job) = running();
    let id = job.container();
    wait("the start", || lab.state_of(&id).and_then(|c| c.state).and_then(|s| s.running) == Some(true));
    run.abort();
    wait("the removal", || lab.own_containers().is_empty());
}

pub fn cpu_time_is_told(lab: &Lab) {
    let used = fog_jobs::container::cpu_used;
    // Less than any meter's period, and the program itself says what it has used by then.
    for work in [1, 20_000, 200_000] {
        let before = used();
        let job = lab.sh(&format!("i=0; while [ $i -lt {work} ]; do i=$((i+1)); done; times"));
        let result = job.run();
        let told = times(&out(&result));
        let outcome = result.unwrap();
        assert!(outcome.cpu_ms > 0 && outcome.cpu_ms >= told, "{told} ms of work: {outcome:?}");
        assert!(outcome.memory_peak > 0, "{outcome:?}");
        assert!(used() - before >= Duration::from_millis(outcome.cpu_ms), "the sum of all has it too");
    }
    // What uses the processor is seen while it does so.
    let job = lab.sh("echo started; while true; do :; done");
    let result = job.run_while(|job| {
        job.wait_for("started");
        let before = used();
        wait("a second of CPU time", || used() - before >= Duration::from_secs(1));
        job.handle.cancel();
    });
    assert_eq!(result.unwrap_err(), RunError::Cancelled);
}

/// What `times` says of the shell itself: `0m0.12s 0m0.03s`, milliseconds.
fn times(said: &str) -> u64 {
    let field = |text: &str| {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60_000.0 + seconds.parse::<f64>().unwrap() * 1000.0
    };
    said.lines().next().unwrap().split_whitespace().map(field).sum::<f64>() as u64
}

/// Times, to read: `cargo test -p fog-jobs --test containers -- measure`.
pub fn measure(lab: &Lab) {
    let name = lab.engine.name;
    lab.sh("true").run().unwrap();
    let mut first = Vec::new();
    let mut whole = Vec::new();
    for _ in 0..10 {
        let job = lab.sh("echo started");
        let (queue, mut read) = tokio::sync::mpsc::channel(64);
        let began = Instant::now();
        lab.runtime.block_on(async {
            let run = lab.containers.run(job.request.clone(), &job.handle, Events::to(queue));
            let heard = async {
                while let Some(event) = read.recv().await {
                    if matches!(event, RunEvent::Log { .. }) {
                        first.push(began.elapsed());
                        break;
                    }
                }
                while read.recv().await.is_some() {}
            };
            let (result, ()) = tokio::join!(run, heard);
            result.unwrap();
        });
        whole.push(began.elapsed());
    }
    first.sort();
    whole.sort();
    println!(
        "{name}: start to first byte {:?} median, {:?} best; start to outcome {:?} median",
        first[5], first[0], whole[5]
    );
    let work = "i=0; while [ $i -lt 2000000 ]; do i=$((i+1)); done";
    let timed = format!("{work}; cat /proc/uptime");
    let inside = |share: f64| {
        let mut job = lab.sh(&timed);
        job.handle = RunHandle::new(share);
        let began = Instant::now();
        let outcome = job.run().unwrap();
        (began.elapsed(), outcome.cpu_ms, outcome.wall_ms)
    };
    let began = Instant::now();
    let status = std::process::Command::new("busybox").args(["sh", "-c", work]).status().unwrap();
    assert!(status.success());
    let bare = began.elapsed();
    let (contained, cpu, wall) = inside(1.0);
    println!(
        "{name}: a loop takes {bare:?} bare, {contained:?} in a container ({cpu} ms CPU, {wall} ms running)"
    );
    let (half, cpu, wall) = inside(0.5);
    println!("{name}: at half a core {half:?} ({cpu} ms CPU, {wall} ms running)");
}
