//! Starts the child from a thread that lives as long as this process.
//!
//! The child asks the system to kill it when its parent dies, and to the system the parent is the *thread* that started
//! it. A runtime's threads come and go, so one thread of our own does nothing but start children.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use tokio::process::{Child, Command};

type Task = Box<dyn FnOnce() + Send>;

fn spawner() -> io::Result<Sender<Task>> {
    static SPAWNER: OnceLock<Mutex<Sender<Task>>> = OnceLock::new();
    if SPAWNER.get().is_none() {
        let (tasks, inbox) = channel::<Task>();
        std::thread::Builder::new().name("fog-spawner".into()).spawn(move || {
            for task in inbox {
                // One that fails (its runtime may be gone) must not take the others' along.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task));
            }
        })?;
        // If two threads came here at once, the loser's thread ends with its channel.
        let _ = SPAWNER.set(Mutex::new(tasks));
    }
    SPAWNER
        .get()
        .and_then(|sender| sender.lock().ok().map(|sender| sender.clone()))
        .ok_or_else(|| io::Error::other("the thread that starts worker processes is gone"))
}

/// Starts the worker process: nothing inherited but three pipes.
pub(super) async fn spawn(command: &[OsString]) -> io::Result<Child> {
    let Some((program, args)) = command.split_first() else {
        return Err(io::Error::other("no worker command is set"));
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);

    let runtime = tokio::runtime::Handle::current();
    let (reply, answer) = tokio::sync::oneshot::channel();
    spawner()?
        .send(Box::new(move || {
            let _inside = runtime.enter();
            let _ = reply.send(command.spawn());
        }))
        .map_err(|_| io::Error::other("the thread that starts worker processes is gone"))?;
    answer.await.map_err(|_| io::Error::other("the worker process was not started"))?
}
