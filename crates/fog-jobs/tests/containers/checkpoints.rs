//! Programs that go on elsewhere.

use super::*;
use fog_jobs::run::Checkpoint;

/// Counts to ten, a line each, with its state in `/out`; ends with 75 when it is asked to. Waits at `hold` until somebody
/// asks.
fn counter(hold: u32) -> String {
    format!(
        r#"trap 'asked=1' TERM; n=0; test "$FOG_RESUME" = 1 && n=$(cat /out/n)
           echo "begin at $n" >&2
           while [ $n -lt 10 ]; do
             n=$((n+1)); echo "step $n"; echo $n > /out/n.new; mv /out/n.new /out/n
             while [ $n = {hold} ] && [ -z "$asked" ]; do sleep 0.05; done
             if [ -n "$asked" ]; then exit 75; fi
           done"#
    )
}

fn steps(n: u32) -> String {
    (1..=n).map(|i| format!("step {i}\n")).collect()
}

fn checkpoint(result: Result<RunOutcome, RunError>) -> Checkpoint {
    match result {
        Err(RunError::Preempted { checkpoint: Some(checkpoint) }) => checkpoint,
        other => panic!("{other:?}"),
    }
}

fn there_and_on(first: &Lab, second: &Lab) {
    let job = first.sh(&counter(3)).limits(|l| l.seconds = 300);
    let taken = checkpoint(job.run_while(|job| {
        job.wait_for("step 3");
        job.handle.preempt();
    }));
    assert_eq!(taken.number, 1);
    assert_eq!(taken.bytes, std::fs::metadata(&taken.file).unwrap().len());

    // Preempted once more on the way.
    let job = second.sh(&counter(7)).limits(|l| l.seconds = 300).resume(&taken.file);
    let again = checkpoint(job.run_while(|job| {
        job.wait_for("step 7");
        job.handle.preempt();
    }));
    assert_eq!(again.number, 2);
    assert!(again.wall_ms >= taken.wall_ms && again.cpu_ms >= taken.cpu_ms, "{taken:?} {again:?}");
    assert!(job.said(StreamKind::Stderr).contains("begin at 3"));

    let job = first.sh(&counter(0)).limits(|l| l.seconds = 300).resume(&again.file);
    let result = job.run();
    assert_eq!(out(&result), steps(10), "all of it, each line once");
    assert!(result.unwrap().wall_ms >= again.wall_ms);
}

pub fn exit_code_75(lab: &Lab) {
    there_and_on(lab, lab);
    // On its own account.
    let job = lab.sh("echo once; echo x > /out/state; exit 75");
    let taken = checkpoint(job.run());
    let job = lab.sh("cat /out/state; echo twice").resume(&taken.file);
    assert_eq!(out(&job.run()), "once\nx\ntwice\n");
    // Ended just in time: a result is a result.
    let job = lab.sh("trap 'echo late; exit 0' TERM; echo started; while true; do sleep 0.05; done");
    let result = job.run_while(|job| {
        job.wait_for("started");
        job.handle.preempt();
    });
    assert_eq!(out(&result), "started\nlate\n");
}

pub fn moves(docker: &Lab, podman: &Lab) {
    there_and_on(docker, podman);
    there_and_on(podman, docker);
}

pub fn any_moment_will_do(lab: &Lab) {
    let own = serde_json::json!({ "Labels": { "app.fogcompute.checkpoint": "out" } });
    let archive = image::saved(lab.folder.path(), &own, "moments:1");
    let image = Image { reference: "moments".into(), archive: Some(archive) };
    // Knows nothing of signals.
    let script = "n=$(cat /out/n 2>/dev/null || echo 0); while true; do n=$((n+1)); echo $n > /out/m; mv /out/m /out/n; \
        [ $n = 5 ] && echo five; sleep 0.01; done";
    let mut config = config(&lab.engine.socket, &lab.folder.path().join("moments"));
    config.grace = Duration::from_secs(1);
    let containers = lab.runtime.block_on(Containers::connect(config)).unwrap();
    let job = lab.job(image.clone(), &["/bin/sh", "-c"], &[script]);
    let seen = Mutex::new(None);
    let result = job.run_with_while(&containers, |job| {
        job.wait_for("five");
        job.handle.checkpoint();
        wait("the checkpoint", || {
            let events = job.events.lock().unwrap();
            let found = events
                .iter()
                .find_map(|e| if let RunEvent::Checkpoint(c) = e { Some(c.clone()) } else { None });
            *seen.lock().unwrap() = found;
            seen.lock().unwrap().is_some()
        });
        job.handle.preempt();
    });
    let last = checkpoint(result);
    let first = seen.into_inner().unwrap().unwrap();
    assert_eq!((first.number, last.number), (1, 2));
    for taken in [&first, &last] {
        let job =
            lab.job(image.clone(), &["/bin/sh", "-c"], &["cat /out/n; echo $FOG_RESUME"]).resume(&taken.file);
        let said = out(&job.run());
        let lines: Vec<_> = said.lines().collect();
        assert_eq!((lines[0], lines[2]), ("five", "1"), "{said}");
        assert!(lines[1].parse::<u32>().unwrap() >= 5, "{said}");
    }
    // Every so often, by itself.
    let mut job = lab.job(image, &["/bin/sh", "-c"], &["echo x > /out/x; sleep 1000"]);
    job.request.checkpoint_every = Some(Duration::from_millis(200));
    job.run_while(|job| {
        wait("three checkpoints", || {
            let events = job.events.lock().unwrap();
            events.iter().filter(|event| matches!(event, RunEvent::Checkpoint(_))).count() >= 3
        });
        job.handle.cancel();
    })
    .unwrap_err();
    // The first is gone, the last two are there.
    let left = std::fs::read_dir(job.folder.path().join("scratch")).unwrap().flatten();
    assert_eq!(left.filter(|e| e.file_name().to_string_lossy().starts_with("checkpoint-")).count(), 2);
}

pub fn cannot_move(lab: &Lab) {
    // Where the engine has no init program, the shell is the first process, which the system ends for SIGKILL only.
    let mut config = config(&lab.engine.socket, &lab.folder.path().join("immovable"));
    config.grace = Duration::from_secs(1);
    let containers = lab.runtime.block_on(Containers::connect(config)).unwrap();
    let job = lab.sh("echo started; while true; do sleep 0.05; done");
    let result = job.run_with_while(&containers, |job| {
        job.wait_for("started");
        job.handle.checkpoint();
        wait("the note", || job.notes().contains("no checkpoint"));
        job.handle.preempt();
    });
    assert_eq!(result.unwrap_err(), RunError::Preempted { checkpoint: None });
}

pub fn damaged(lab: &Lab) {
    let file = lab.folder.path().join("damaged");
    for bytes in [b"".to_vec(), b"no archive".to_vec(), vec![0; 4096], image::root_tar()] {
        std::fs::write(&file, bytes).unwrap();
        let error = lab.sh("true").resume(&file).run().unwrap_err();
        assert!(matches!(error, RunError::BadCheckpoint(_)), "{error}");
    }
}
