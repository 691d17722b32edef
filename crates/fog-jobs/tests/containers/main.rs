//! Containers on real engines: Docker's and Podman's, started here. Without the feature `containers` the tests are left
//! out, with the reason, where no engine can be started.
//!
//! The binary is also its own second process: a node that is killed, and an image registry.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs, unreachable_pub)]

mod checkpoints;
mod engines;
mod hostile;
mod image;
mod images;
mod programs;
mod reaper;
mod registry;

use engines::Engine;
use fog_jobs::run::{
    Events, Image, InputFile, Program, RunError, RunEvent, RunHandle, RunOutcome, RunRequest, StreamKind,
};
use fog_jobs::{ContainerConfig, Containers, Limits};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Test = (&'static str, fn(&Lab));

const TESTS: &[Test] = &[
    ("a_program_has_all_that_it_was_given", programs::a_program_has_all_that_it_was_given),
    ("exit_code_and_stderr_are_kept", programs::exit_code_and_stderr_are_kept),
    ("the_images_own_command_runs_unless_the_order_says_otherwise", programs::the_images_own_command),
    ("what_cannot_be_started_is_told", programs::what_cannot_be_started_is_told),
    ("the_fence_stands", hostile::the_fence_stands),
    ("an_image_cannot_make_itself_root", hostile::an_image_cannot_make_itself_root),
    ("mounts_and_devices_are_denied", hostile::mounts_and_devices_are_denied),
    ("there_is_no_way_to_the_engine_or_the_network", hostile::there_is_no_way_out),
    ("a_network_that_was_granted_is_there", hostile::a_granted_network),
    ("a_fork_bomb_is_held", hostile::a_fork_bomb_is_held),
    ("a_memory_bomb_is_told_as_such", hostile::a_memory_bomb),
    ("filling_tmp_hits_its_wall", hostile::filling_tmp),
    ("filling_out_ends_the_run", hostile::filling_out),
    ("a_file_of_a_terabyte_cannot_be_made", hostile::a_file_of_a_terabyte),
    ("many_files_and_deep_nests_end_the_run", hostile::many_files_and_deep_nests),
    ("ten_gigabytes_of_output_end_the_run", hostile::endless_output),
    ("ten_gigabytes_of_log_end_the_run", hostile::endless_log),
    ("sleeping_for_ever_ends", hostile::sleeping_for_ever),
    ("ignoring_sigterm_does_not_help", hostile::ignoring_sigterm),
    ("the_owner_pauses_and_throttles", programs::the_owner_pauses_and_throttles),
    ("cpu_time_is_told", programs::cpu_time_is_told),
    ("cancel_ends_it", programs::cancel_ends_it),
    ("somebody_removes_the_container", programs::somebody_removes_the_container),
    ("dropping_the_run_removes_it", programs::dropping_the_run_removes_it),
    ("exit_code_75_asks_to_go_on", checkpoints::exit_code_75),
    ("any_moment_will_do", checkpoints::any_moment_will_do),
    ("a_program_that_cannot_move_says_so", checkpoints::cannot_move),
    ("a_damaged_checkpoint_is_refused", checkpoints::damaged),
    ("tags_are_refused", images::tags_are_refused),
    ("an_archive_takes_no_name", images::an_archive_takes_no_name),
    ("bad_archives_are_refused", images::bad_archives),
    ("images_go_after_use_but_the_owners_stay", images::images_go_after_use),
    ("images_come_from_a_registry_by_digest", images::from_a_registry),
    ("leftovers_of_a_killed_node_are_removed", reaper::leftovers_of_a_killed_node),
    ("an_owner_who_forbids_containers_is_obeyed", reaper::forbidden),
];

/// Tests between both engines.
type OnBoth = fn(&Lab, &Lab);
const BOTH: &[(&str, OnBoth)] = &[("a_job_moves_from_one_engine_to_another", checkpoints::moves)];

fn main() {
    let mut args = std::env::args().skip(1);
    let first = args.next();
    match first.as_deref() {
        Some("registry") => return registry::serve(args.next().as_deref() == Some("tampered")),
        Some("node") => return reaper::node(&args.collect::<Vec<_>>()),
        _ => {}
    }
    if first.as_deref() == Some("--list") {
        return;
    }
    if let Some(reason) = engines::missing() {
        if cfg!(feature = "containers") {
            eprintln!("no container engine can be started: {reason}");
            std::process::exit(1);
        }
        println!("left out: the tests of containers need a machine where an engine can be started: {reason}");
        return;
    }
    let filter = first.filter(|arg| !arg.starts_with('-')).unwrap_or_default();
    let runtime =
        Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    let labs = [Lab::new(Engine::docker(&runtime), &runtime), Lab::new(Engine::podman(&runtime), &runtime)];
    if filter == "measure" {
        labs.iter().for_each(programs::measure);
        return;
    }
    let (mut passed, mut failed) = (0, 0);
    let mut report = |name: String, run: &dyn Fn()| {
        if !name.contains(&filter) {
            return;
        }
        let began = std::time::Instant::now();
        let good = catch_unwind(AssertUnwindSafe(run)).is_ok();
        let took = began.elapsed().as_secs_f64();
        println!("test {name} ... {} ({took:.1} s)", if good { "ok" } else { "FAILED" });
        if good { passed += 1 } else { failed += 1 }
    };
    for lab in &labs {
        for (name, test) in TESTS {
            report(format!("{}::{name}", lab.engine.name), &|| test(lab));
        }
        report(format!("{}::nothing_is_left", lab.engine.name), &|| reaper::nothing_is_left(lab));
    }
    for (name, test) in BOTH {
        report((*name).to_owned(), &|| test(&labs[0], &labs[1]));
    }
    drop(labs);
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    std::process::exit(i32::from(failed > 0));
}

/// An engine, and a node's runtime on it.
pub struct Lab {
    engine: Engine,
    runtime: Arc<tokio::runtime::Runtime>,
    containers: Containers,
    folder: tempfile::TempDir,
    busybox: PathBuf,
}

impl Lab {
    fn new(engine: Engine, runtime: &Arc<tokio::runtime::Runtime>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let busybox = folder.path().join("busybox.tar");
        std::fs::write(&busybox, image::root_tar()).unwrap();
        let config = config(&engine.socket, &folder.path().join("state"));
        let containers = runtime.block_on(Containers::connect(config)).unwrap();
        Self { engine, runtime: Arc::clone(runtime), containers, folder, busybox }
    }

    fn busybox(&self) -> Image {
        Image { reference: "busybox".into(), archive: Some(self.busybox.clone()) }
    }

    /// A shell script in busybox.
    fn sh(&self, script: &str) -> Job<'_> {
        self.job(self.busybox(), &["/bin/sh", "-c"], &[script])
    }

    fn job(&self, image: Image, entrypoint: &[&str], args: &[&str]) -> Job<'_> {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let program = Program::Container { image, entrypoint: own(entrypoint) };
        // Starting counts, so this is generous where a test is not about time.
        let limits =
            Limits { seconds: 120, memory_bytes: 64 << 20, output_bytes: 1 << 20, ..Limits::default() };
        let request =
            RunRequest { args: own(args), ..RunRequest::new(program, limits, folder.path().join("scratch")) };
        Job { lab: self, folder, request, handle: RunHandle::new(1.0), events: Arc::default() }
    }

    /// Says what this engine cannot do and is therefore not asked to.
    fn left_out(&self, what: &str) {
        println!("     {}, left out: {what}", self.engine.name);
    }

    /// This node's containers on the engine.
    fn own_containers(&self) -> Vec<serde_json::Value> {
        self.engine.containers(&self.runtime)
    }

    fn state_of(&self, id: &str) -> Option<bollard::models::ContainerInspectResponse> {
        self.runtime.block_on(self.engine.docker.inspect_container(id, None)).ok()
    }
}

pub fn config(socket: &Path, state: &Path) -> ContainerConfig {
    ContainerConfig {
        allowed: true,
        socket: Some(socket.display().to_string()),
        grace: Duration::from_secs(60),
        ..ContainerConfig::new(state)
    }
}

/// One run.
pub struct Job<'a> {
    lab: &'a Lab,
    folder: tempfile::TempDir,
    request: RunRequest,
    handle: RunHandle,
    events: Arc<Mutex<Vec<RunEvent>>>,
}

impl Job<'_> {
    fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.request.limits);
        self
    }

    fn input(mut self, name: &str, content: &[u8]) -> Self {
        let file = self.folder.path().join(format!("input-{}", self.request.inputs.len()));
        std::fs::write(&file, content).unwrap();
        self.request.inputs.push(InputFile { name: name.into(), file });
        self
    }

    fn resume(mut self, checkpoint: &Path) -> Self {
        self.request.resume = Some(checkpoint.to_owned());
        self
    }

    fn run(&self) -> Result<RunOutcome, RunError> {
        self.run_with(&self.lab.containers)
    }

    fn run_with(&self, containers: &Containers) -> Result<RunOutcome, RunError> {
        let (queue, mut read) = tokio::sync::mpsc::channel(4096);
        let events = Arc::clone(&self.events);
        let listening = self.lab.runtime.spawn(async move {
            while let Some(event) = read.recv().await {
                events.lock().unwrap().push(event);
            }
        });
        let result =
            self.lab.runtime.block_on(containers.run(self.request.clone(), &self.handle, Events::to(queue)));
        self.lab.runtime.block_on(listening).unwrap();
        result
    }

    /// Runs while `meanwhile` looks on, which is called on a thread of its own.
    fn run_while(&self, meanwhile: impl FnOnce(&Self) + Send) -> Result<RunOutcome, RunError> {
        self.run_with_while(&self.lab.containers, meanwhile)
    }

    fn run_with_while(
        &self,
        containers: &Containers,
        meanwhile: impl FnOnce(&Self) + Send,
    ) -> Result<RunOutcome, RunError> {
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| meanwhile(self));
            let result = self.run_with(containers);
            looking.join().unwrap();
            result
        })
    }

    fn said(&self, kind: StreamKind) -> String {
        let events = self.events.lock().unwrap();
        let bytes = events.iter().filter_map(|event| match event {
            RunEvent::Log { stream, bytes } if *stream == kind => Some(bytes.as_slice()),
            _ => None,
        });
        String::from_utf8_lossy(&bytes.collect::<Vec<_>>().concat()).into_owned()
    }

    fn notes(&self) -> String {
        let events = self.events.lock().unwrap();
        let notes = events
            .iter()
            .filter_map(|e| if let RunEvent::Note(text) = e { Some(text.as_str()) } else { None });
        notes.collect::<Vec<_>>().join("\n")
    }

    /// Waits until standard output has this text.
    fn wait_for(&self, text: &str) {
        wait(&format!("{text:?} on standard output"), || self.said(StreamKind::Stdout).contains(text));
    }

    /// The container of this run, once it is there.
    fn container(&self) -> String {
        let mut found = None;
        wait("the container", || {
            found = self.lab.own_containers().into_iter().next().map(|c| id(&c));
            found.is_some()
        });
        found.unwrap()
    }
}

/// A container's id in a list.
fn id(container: &serde_json::Value) -> String {
    container["Id"].as_str().unwrap().to_owned()
}

/// Waits for something that happens, for as long as a busy machine may need.
pub fn wait(what: &str, mut happened: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + Duration::from_secs(180);
    while !happened() {
        assert!(std::time::Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Standard output of a run that ended well.
fn out(result: &Result<RunOutcome, RunError>) -> String {
    let outcome = result.as_ref().unwrap();
    let text = String::from_utf8(std::fs::read(&outcome.stdout).unwrap()).unwrap();
    assert_eq!(outcome.exit_code, 0, "{text}\n{}", outcome.stderr_tail);
    text
}
