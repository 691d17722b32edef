//! Programs that mean harm. Each is held, and its owner is told.

use super::*;

/// Runs a script that must end well, and returns what it says.
fn ask(lab: &Lab, script: &str) -> String {
    out(&lab.sh(script).run())
}

pub fn the_fence_stands(lab: &Lab) {
    let said = ask(
        lab,
        r#"id; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; echo "net: $(ls /sys/class/net | tr '\n' ' ')"
           for at in /x /bin/x /in/x /etc/x /sys/x /proc/sys/kernel/hostname; do (echo x > $at) 2>/dev/null && echo "wrote $at"; done
           for at in /out/x /tmp/x; do (echo x > $at) && echo "wrote $at"; done; rm /out/x
           env; ls /in /dev; ps | wc -l; ulimit -n; ulimit -c"#,
    );
    assert!(said.contains("uid=65534(nobody) gid=65534"), "{said}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(said.contains(&format!("{set}:\t0000000000000000")), "{said}");
    }
    assert!(said.contains("NoNewPrivs:\t1") && said.contains("Seccomp:\t2"), "{said}");
    assert!(said.contains("net: lo \n"), "{said}");
    let wrote: Vec<_> = said.lines().filter(|line| line.starts_with("wrote")).collect();
    assert_eq!(wrote, ["wrote /out/x", "wrote /tmp/x"], "{said}");
    assert!(!said.contains("secret"), "the host's environment leaks: {said}");
    for device in ["mem", "kmsg", "sda", "vda", "fuse", "kvm", "loop0"] {
        assert!(!said.lines().any(|line| line == device), "{device}: {said}");
    }
}

pub fn an_image_cannot_make_itself_root(lab: &Lab) {
    let own = serde_json::json!({ "User": "root", "Entrypoint": ["/bin/sh", "-c"], "Volumes": { "/data": {}, "/var/x": {} },
        "Healthcheck": { "Test": ["CMD", "/bin/touch", "/out/health"], "Interval": 1_000_000_000u64 },
        "Labels": { "app.fogcompute.node": "somebody-else" } });
    let archive = image::saved(lab.folder.path(), &own, "root:1");
    let image = Image { reference: "root".into(), archive: Some(archive) };
    let script = "id -u; stat -c %a /bin/busybox-root; /bin/busybox-root id -u 2>&1; /bin/busybox-root su root -c id 2>&1; echo x > /data/x && echo data; \
        ls -d /proc/1/root/root/* 2>&1; kill -9 -1; true";
    let job = lab.job(image, &[], &[script]);
    let said = std::fs::read_to_string(job.run().unwrap().stdout).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(&lines[..4], ["65534", "4755", "65534", "su: must be suid to work properly"], "{said}");
    assert!(said.contains("data") && !said.contains("uid=0"), "{said}");
    // The image's volumes are folders in memory, not on the owner's disk.
    let volumes = lab
        .runtime
        .block_on(lab.engine.docker.list_volumes(None::<bollard::query_parameters::ListVolumesOptions>));
    assert_eq!(volumes.unwrap().volumes.unwrap_or_default(), []);
    assert_eq!(lab.own_containers().len(), 0);
}

pub fn mounts_and_devices_are_denied(lab: &Lab) {
    let said = ask(
        lab,
        "try() { if \"$@\" >/dev/null 2>&1; then echo \"did: $*\"; fi; }
         try mount -t tmpfs x /tmp; try mount -o remount,rw /; try mount -o remount,rw /in; try umount /in
         try mount --bind /out /in; try mknod /tmp/sda b 8 0; try mknod /dev/x c 1 1; try chroot /tmp /bin/true
         try unshare -m true; try chown 0 /out; try chmod 777 /bin/busybox; try ln /bin/busybox-root /out/x
         # Whoever is root in a user namespace of its own (Podman's filter allows one) is so for its own things only.
         inside='try() { if \"$@\" >/dev/null 2>&1; then echo \"did inside: $*\"; fi; }
           try mount -o remount,rw,bind /; try mount -o remount,rw,bind /in; try umount /in; try chroot /tmp /bin/true
           try touch /bin/x /in/x /etc/x; try mknod /tmp/sda b 8 0; try chown 1 /out; try su nobody -c true'
         unshare -r sh -c \"$inside\" 2>/dev/null; unshare -rm sh -c \"$inside\" 2>/dev/null; echo done",
    );
    assert_eq!(said, "done\n");
    let outside = lab.sh("unshare -U true").run().unwrap();
    assert_eq!(outside.exit_code == 0, lab.engine.name == "podman", "{outside:?}");
}

pub fn there_is_no_way_out(lab: &Lab) {
    // Something that listens where the engine itself is.
    let registry = registry::Registry::start(lab.engine.pid(), false);
    let reached = std::process::Command::new("nsenter")
        .arg(format!("--net=/proc/{}/ns/net", lab.engine.pid()))
        .args(["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:5000/v2/"])
        .output()
        .unwrap();
    assert_eq!(reached.stdout, b"{}", "the test itself must reach it");
    let said = ask(
        lab,
        "for host in 127.0.0.1 172.17.0.1 10.88.0.1 host.docker.internal; do
           wget -q -T 5 -O - http://$host:5000/v2/ 2>/dev/null && echo reached $host; done
         for socket in /var/run/docker.sock /run/docker.sock /run/podman/podman.sock /engine.sock; do
           test -e $socket && echo found $socket; done
         find / -name '*.sock' 2>/dev/null; grep -c : /proc/net/route; echo done",
    );
    assert_eq!(said, "0\ndone\n");
    drop(registry);
}

pub fn a_granted_network(lab: &Lab) {
    if lab.engine.name == "podman" {
        return lab.left_out("a bridge needs packages beside Podman (netavark or CNI plugins)");
    }
    let mut job = lab.sh("ls /sys/class/net; grep -c ^eth0 /proc/net/route");
    job.request.network = true;
    let said = out(&job.run());
    assert!(said.contains("eth0\nlo\n"), "{said}");
}

pub fn a_fork_bomb_is_held(lab: &Lab) {
    let job = lab.sh("bomb() { bomb | bomb & }; bomb 2>/dev/null
         while true; do sleep 1000 & done 2>/out/errors");
    let result = job.limits(|l| l.pids = 32).run_while(|job| {
        let id = job.container();
        wait("the end", || {
            let Some(found) = job.lab.state_of(&id) else { return true };
            let pids = found.host_config.unwrap().pids_limit;
            assert_eq!(pids, Some(32));
            // No more processes than allowed, ever.
            let stats = job.lab.runtime.block_on(async {
                use futures_util::StreamExt;
                let options = bollard::query_parameters::StatsOptions { stream: false, one_shot: true };
                job.lab.engine.docker.stats(&id, Some(options)).next().await
            });
            if let Some(Ok(stats)) = stats {
                let now = stats.pids_stats.and_then(|p| p.current).unwrap_or(0);
                assert!(now <= 33, "{now} processes");
            }
            found.state.and_then(|s| s.running) == Some(false)
        });
    });
    // The shell gives up when it cannot fork.
    let outcome = result.unwrap();
    assert_ne!(outcome.exit_code, 0);
    assert_eq!(lab.own_containers().len(), 0);
}

pub fn a_memory_bomb(lab: &Lab) {
    // At once, and in small pieces in the first process itself.
    for script in [
        "dd if=/dev/zero of=/dev/null bs=200M count=1; exit $?",
        "s=x; while true; do s=$s$s$s$s; done; echo alive",
    ] {
        match lab.sh(script).run() {
            Err(RunError::OutOfMemory(limit)) => assert_eq!(limit, 64 << 20),
            // Podman does not always notice why the system ended a program: then it is the plain exit code of that.
            Ok(outcome) if lab.engine.name == "podman" => assert_eq!(outcome.exit_code, 137),
            other => panic!("{script}: {other:?}"),
        }
        assert_eq!(lab.own_containers().len(), 0);
    }
}

pub fn filling_tmp(lab: &Lab) {
    let outcome = lab.sh("dd if=/dev/zero of=/tmp/x bs=1M").run().unwrap();
    assert_eq!(outcome.exit_code, 1);
    assert!(outcome.stderr_tail.contains("No space left"), "{}", outcome.stderr_tail);
    if lab.engine.name == "podman" {
        lab.left_out("it takes no limit on the files in /tmp; their memory counts as the program's");
    } else {
        let outcome = lab.sh("i=0; while : > /tmp/$i; do i=$((i+1)); done").run().unwrap();
        assert!(outcome.stderr_tail.contains("No space left"), "{}", outcome.stderr_tail);
    }
}

pub fn filling_out(lab: &Lab) {
    for script in [
        "dd if=/dev/zero of=/out/x bs=64k; sleep 1000",
        // Much that takes no room.
        "dd if=/dev/zero of=/out/x bs=1 count=1 seek=20000000; sleep 1000",
        "i=0; while dd if=/dev/zero of=/out/$i bs=64k count=1 2>/dev/null; do i=$((i+1)); done; sleep 1000",
        // Standard output and files count together.
        "dd if=/dev/zero of=/out/x bs=64k count=10 2>/dev/null; dd if=/dev/zero bs=64k count=10 2>/dev/null; sleep 1000",
    ] {
        let job = lab.sh(script);
        match job.run() {
            Err(RunError::OutputLimit(limit)) => assert_eq!(limit, 1 << 20),
            other => panic!("{script}: {other:?}"),
        }
        let scratch = job.folder.path().join("scratch");
        assert!(!scratch.join("out").exists(), "what was written is removed");
    }
}

pub fn a_file_of_a_terabyte(lab: &Lab) {
    // It would take no room, but whoever reads it would not come to an end.
    let said = ask(
        lab,
        "dd if=/dev/zero of=/out/x bs=1 count=1 seek=1099511627776 2>/dev/null; echo $?; stat -c %s /out/x",
    );
    assert_eq!(said, "153\n0\n");
}

pub fn many_files_and_deep_nests(lab: &Lab) {
    let many = "i=0; while : > /out/$i; do i=$((i+1)); done";
    let deep = "cd /out; while mkdir a-long-name-for-a-folder && cd a-long-name-for-a-folder; do :; done; sleep 1000";
    let closed = "mkdir /out/a /out/a/b; echo x > /out/a/b/c; chmod 0 /out/a/b /out/a; sleep 1; exit 0";
    for script in [many, deep] {
        let job = lab.sh(script).limits(|l| l.output_bytes = 100 << 20);
        assert_eq!(job.run().unwrap_err(), RunError::OutputLimit(100 << 20));
        assert!(job.notes().contains("10000 files"), "{}", job.notes());
        let left: Vec<_> = std::fs::read_dir(job.folder.path().join("scratch")).unwrap().flatten().collect();
        assert!(left.iter().all(|entry| entry.file_name() == "stdout"), "{left:?}");
    }
    // Root sees through it.
    assert!(lab.sh(closed).run().unwrap().files.is_some());
}

pub fn endless_output(lab: &Lab) {
    let job = lab.sh("yes 0123456789abcdef | head -c 10000000000");
    assert_eq!(job.run().unwrap_err(), RunError::OutputLimit(1 << 20));
    let stdout = job.folder.path().join("scratch/stdout");
    assert_eq!(std::fs::metadata(stdout).unwrap().len(), 1 << 20);
}

pub fn endless_log(lab: &Lab) {
    let job = lab.sh("yes 0123456789abcdef | head -c 10000000000 >&2").limits(|l| l.seconds = 600);
    assert_eq!(job.run().unwrap_err(), RunError::OutputLimit(256 << 20));
}

pub fn sleeping_for_ever(lab: &Lab) {
    let job = lab.sh("echo asleep; sleep 1000000").limits(|l| l.seconds = 2);
    assert_eq!(job.run().unwrap_err(), RunError::TimeLimit(2));
    assert_eq!(lab.own_containers().len(), 0);
    // Not even where every signal is ignored, and the children with it.
    let script = "trap '' TERM INT HUP; (trap '' TERM INT HUP; sleep 1000000) & while true; do :; done";
    assert_eq!(lab.sh(script).limits(|l| l.seconds = 2).run().unwrap_err(), RunError::TimeLimit(2));
    assert_eq!(lab.own_containers().len(), 0);
}

pub fn ignoring_sigterm(lab: &Lab) {
    let mut config = config(&lab.engine.socket, &lab.folder.path().join("impatient"));
    config.grace = Duration::from_secs(1);
    let containers = lab.runtime.block_on(Containers::connect(config)).unwrap();
    let job = lab.sh("trap 'echo heard it' TERM; echo started; while true; do sleep 0.1; done");
    let result = job.run_with_while(&containers, |job| {
        job.wait_for("started");
        // Even a program that stands still is asked.
        job.handle.set_share(0.0);
        job.handle.preempt();
    });
    assert_eq!(result.unwrap_err(), RunError::Preempted { checkpoint: None });
    assert!(job.said(StreamKind::Stdout).contains("heard it"), "it was asked first");
    assert_eq!(lab.own_containers().len(), 0);
}
