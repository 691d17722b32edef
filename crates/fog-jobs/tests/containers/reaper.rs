//! What a node leaves behind when it is killed, and who removes it.

use super::*;
use fog_jobs::container::Unavailable;
use std::process::{Command, Stdio};

/// A node in a process of its own: runs a container until it is killed.
pub fn node(args: &[String]) {
    let [socket, state, archive, scratch] = args else { panic!("four arguments") };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let containers = Containers::connect(config(Path::new(socket), Path::new(state))).await.unwrap();
        let image = Image { reference: "busybox".into(), archive: Some(archive.into()) };
        let program = Program::Container { image, entrypoint: vec!["/bin/sleep".into()] };
        let request = RunRequest {
            args: vec!["1000000".into()],
            ..RunRequest::new(program, Limits::default(), scratch)
        };
        let _ = containers.run(request, &RunHandle::new(1.0), Events::none()).await;
    });
}

/// Starts such a node, waits until its container runs, and kills it. Returns the container's id.
fn killed_node(lab: &Lab, state: &Path) -> String {
    let before: Vec<_> = lab.own_containers().iter().map(id).collect();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("node")
        .args([&lab.engine.socket, state, &lab.busybox, &lab.folder.path().join("killed")])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut id = None;
    wait("the other node's container", || {
        let found = lab.own_containers().iter().map(super::id).find(|id| !before.contains(id));
        let running = |id: &str| lab.state_of(id).and_then(|c| c.state).and_then(|s| s.running) == Some(true);
        id = found.filter(|id| running(id));
        id.is_some()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let id = id.unwrap();
    let still = lab.state_of(&id).unwrap();
    assert_eq!(still.state.unwrap().running, Some(true), "a killed node cannot end its container");
    id
}

pub fn leftovers_of_a_killed_node(lab: &Lab) {
    let (mine, other) = (lab.folder.path().join("killed-state"), lab.folder.path().join("other-state"));
    let left = killed_node(lab, &mine);
    let others = killed_node(lab, &other);
    // This process is yet another node: nothing of either is its own.
    assert_eq!(lab.runtime.block_on(lab.containers.sweep()).unwrap().containers, 0);

    // Some engines do not remove what stands still.
    lab.runtime.block_on(lab.engine.docker.pause_container(&others)).unwrap();

    let connect = |state: &Path| lab.runtime.block_on(Containers::connect(config(&lab.engine.socket, state)));
    let again = connect(&mine).unwrap();
    assert!(lab.state_of(&left).is_none(), "the next start removes it");
    assert!(lab.state_of(&others).is_some(), "what is another node's stays");

    // A run of this process is left alone.
    let job = lab.sh("echo started; sleep 1000");
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            job.wait_for("started");
            assert_eq!(lab.runtime.block_on(again.sweep()).unwrap().containers, 0);
            job.handle.cancel();
        });
        job.run_with(&again)
    });
    assert_eq!(result.unwrap_err(), RunError::Cancelled);
    connect(&other).unwrap();
    assert!(lab.state_of(&others).is_none());
    fog_jobs::container::remove_scratch(&lab.folder.path().join("killed")).unwrap();
}

pub fn forbidden(lab: &Lab) {
    let state = lab.folder.path().join("forbidding");
    let forbidding = ContainerConfig { allowed: false, ..config(&lab.engine.socket, &state) };
    let connect = |config| lab.runtime.block_on(Containers::connect(config)).unwrap_err();
    assert_eq!(connect(forbidding.clone()), Unavailable::NotAllowed);
    // Allowed once, killed, then forbidden: what was left goes all the same.
    let left = killed_node(lab, &state);
    assert_eq!(connect(forbidding), Unavailable::NotAllowed);
    assert!(lab.state_of(&left).is_none());
    let nobody = ContainerConfig { socket: Some("/nowhere.sock".into()), ..config(Path::new("/"), &state) };
    assert!(connect(nobody).to_string().contains("/nowhere.sock"));
}

/// After all the tests.
pub fn nothing_is_left(lab: &Lab) {
    assert_eq!(lab.own_containers(), Vec::<serde_json::Value>::new());
}
