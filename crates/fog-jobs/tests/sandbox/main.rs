//! Runs real worker processes on programs that behave and programs that do not. This binary is both the tests and the
//! worker process: the first argument `worker` makes it the latter. Other arguments select tests by a part of the name.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod files;
mod hostile;
mod liars;
mod moving;
mod processes;
mod programs;
mod whole;

use fog_jobs::spec::Limits;
use fog_jobs::{
    EngineKind, Events, InputFile, Program, RunError, RunEvent, RunHandle, RunOutcome, RunRequest, Sandbox,
};
use std::path::PathBuf;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "worker") {
        std::process::exit(fog_jobs::worker::main());
    }
    if args.first().is_some_and(|arg| arg == "liar") {
        liars::lie(args.get(1).map_or("", String::as_str));
        return;
    }
    if args.first().is_some_and(|arg| arg == "node") {
        let run = program(LOOP);
        println!("{:?}", run.run());
        return;
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let began = Instant::now();
        let result = std::panic::catch_unwind(test);
        passed += usize::from(result.is_ok());
        failed += usize::from(result.is_err());
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.2?})", began.elapsed());
    }
    // As the standard runner says it, so that whoever adds up results counts these, too.
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    std::process::exit(i32::from(failed > 0));
}

const TESTS: &[(&str, fn())] = &[
    ("echo_copies_input_to_output", programs::echo_copies_input_to_output),
    ("exit_code_and_stderr_are_kept", programs::exit_code_and_stderr_are_kept),
    ("arguments_arrive_and_nothing_else", programs::arguments_arrive_and_nothing_else),
    ("fuel_is_the_same_number_each_time", programs::fuel_is_the_same_number_each_time),
    ("not_wasm_is_refused", programs::not_wasm_is_refused),
    ("a_library_is_refused", programs::a_library_is_refused),
    ("an_endless_loop_ends", programs::an_endless_loop_ends),
    ("an_endless_sleep_ends", programs::an_endless_sleep_ends),
    ("growing_to_8_gib_ends", programs::growing_to_8_gib_ends),
    ("starting_with_8_gib_ends", programs::starting_with_8_gib_ends),
    ("growing_slowly_ends_at_the_limit", programs::growing_slowly_ends_at_the_limit),
    ("paths_lead_nowhere_else", programs::paths_lead_nowhere_else),
    ("two_folders_are_open", programs::two_folders_are_open),
    ("sockets_are_denied", programs::sockets_are_denied),
    ("an_unknown_import_is_named", programs::an_unknown_import_is_named),
    ("endless_printing_ends", programs::endless_printing_ends),
    ("endless_complaining_is_cut", programs::endless_complaining_is_cut),
    ("deep_recursion_is_a_trap", programs::deep_recursion_is_a_trap),
    ("unreachable_is_a_trap", programs::unreachable_is_a_trap),
    ("a_killed_worker_is_reported", processes::a_killed_worker_is_reported),
    ("the_child_dies_with_its_node", processes::the_child_dies_with_its_node),
    ("cancel_kills_at_once", processes::cancel_kills_at_once),
    ("a_quarter_of_a_core", processes::a_quarter_of_a_core),
    ("a_pause_does_not_count", processes::a_pause_does_not_count),
    ("sleeping_while_parked_does_not_count", processes::sleeping_while_parked_does_not_count),
    ("a_missing_module_is_the_devices_fault", processes::a_missing_module_is_the_devices_fault),
    ("the_child_has_nothing_of_ours", processes::the_child_has_nothing_of_ours),
    ("a_tour_of_what_a_job_is_given", files::a_tour_of_what_a_job_is_given),
    ("a_component_takes_the_same_tour", files::a_component_takes_the_same_tour),
    ("an_interpreter_takes_the_same_tour", files::an_interpreter_takes_the_same_tour),
    ("replicas_agree_bit_for_bit", files::replicas_agree_bit_for_bit),
    ("native_code_is_kept_and_damage_found", files::native_code_is_kept_and_damage_found),
    ("events_tell_what_happens", files::events_tell_what_happens),
    ("a_warm_process_serves_one_job", files::a_warm_process_serves_one_job),
    ("engines_agree_but_for_fuel", files::engines_agree_but_for_fuel),
    (
        "a_deterministic_component_waits_by_its_own_clock",
        files::a_deterministic_component_waits_by_its_own_clock,
    ),
    ("a_job_moves_and_ends_the_same", moving::a_job_moves_and_ends_the_same),
    ("a_job_moves_between_engines", moving::a_job_moves_between_engines),
    ("a_checkpoint_now_and_then", moving::a_checkpoint_now_and_then),
    ("an_unprepared_job_says_so", moving::an_unprepared_job_says_so),
    ("a_paused_job_can_be_taken_away", moving::a_paused_job_can_be_taken_away),
    ("a_sleeping_job_can_be_taken_away", moving::a_sleeping_job_can_be_taken_away),
    ("steps_move_between_engines", moving::steps_move_between_engines),
    ("damaged_checkpoints_are_refused", moving::damaged_checkpoints_are_refused),
    ("the_limit_holds_over_all_segments", moving::the_limit_holds_over_all_segments),
    ("forged_checkpoints_harm_nobody", moving::forged_checkpoints_harm_nobody),
    ("hostile_programs_end_in_their_own_errors", hostile::hostile_programs_end_in_their_own_errors),
    ("hostile_programs_end_in_the_interpreter_too", hostile::hostile_programs_end_in_the_interpreter_too),
    ("compile_bombs_end", hostile::compile_bombs_end),
    ("forged_preparation_is_refused", hostile::forged_preparation_is_refused),
    ("ten_gigabytes_of_complaints", hostile::ten_gigabytes_of_complaints),
    ("many_files_end", hostile::many_files_end),
    ("deep_stacks_fit_both_engines", hostile::deep_stacks_fit_both_engines),
    ("a_start_function_can_be_paused", processes::a_start_function_can_be_paused),
    ("a_worker_that_chatters_is_ended", liars::a_worker_that_chatters_is_ended),
    ("a_worker_that_does_not_listen_is_ended", liars::a_worker_that_does_not_listen_is_ended),
    ("a_worker_cannot_fill_the_folder", liars::a_worker_cannot_fill_the_folder),
    ("a_worker_cannot_hand_over_what_is_not_its_own", liars::a_worker_cannot_hand_over_what_is_not_its_own),
    ("a_workers_words_are_cut", liars::a_workers_words_are_cut),
    ("word_count_counts_as_wc_does", whole::word_count_counts_as_wc_does),
];

/// Imports that most of the programs below use.
const HEAD: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
"#;

struct Run {
    folder: tempfile::TempDir,
    module: Vec<u8>,
    input: Option<Vec<u8>>,
    inputs: Vec<(&'static str, Vec<u8>)>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    limits: Limits,
    share: f64,
    deterministic: bool,
    engine: EngineKind,
}

fn program(body: &str) -> Run {
    let text = format!("(module {HEAD} {body})");
    Run::new(wat::parse_str(text).unwrap())
}

impl Run {
    fn new(module: Vec<u8>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            module,
            input: None,
            inputs: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            limits: Limits {
                seconds: 20,
                memory_bytes: 64 << 20,
                output_bytes: 1 << 20,
                ..Limits::default()
            },
            share: 1.0,
            deterministic: false,
            engine: EngineKind::Jit,
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn request(&self) -> RunRequest {
        let module = self.write("module.wasm", &self.module);
        let inputs = self.inputs.iter().zip(0..).map(|((name, bytes), number)| InputFile {
            name: (*name).to_owned(),
            file: self.write(&format!("input-{number}"), bytes),
        });
        RunRequest {
            args: self.args.clone(),
            env: self.env.clone(),
            stdin: self.input.as_ref().map(|bytes| self.write("input", bytes)),
            inputs: inputs.collect(),
            ..RunRequest::new(
                Program::Wasm { module, deterministic: self.deterministic },
                self.limits,
                self.folder.path().join("scratch"),
            )
        }
    }

    fn sandbox(&self) -> Sandbox {
        sandbox().with_engine(self.engine)
    }

    fn run(&self) -> Result<RunOutcome, RunError> {
        let handle = RunHandle::new(self.share);
        runtime().block_on(self.sandbox().run(self.request(), &handle, Events::none()))
    }

    /// Runs with somebody who listens.
    fn run_heard(&self) -> (Result<RunOutcome, RunError>, Vec<RunEvent>) {
        let (queue, mut heard) = tokio::sync::mpsc::channel(10_000);
        let handle = RunHandle::new(self.share);
        let result = runtime().block_on(self.sandbox().run(self.request(), &handle, Events::to(queue)));
        let mut events = Vec::new();
        while let Ok(event) = heard.try_recv() {
            events.push(event);
        }
        (result, events)
    }

    fn output(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("scratch/stdout")).unwrap()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn sandbox() -> Sandbox {
    Sandbox::new(vec![std::env::current_exe().unwrap().into(), "worker".into()])
}

const ECHO: &str = r#"
  (memory (export "memory") 4)
  (func (export "_start") (local $n i32)
    (loop $again
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $n (i32.load (i32.const 8)))
      (if (local.get $n) (then
        (i32.store (i32.const 4) (local.get $n))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $again)))))
"#;

const LOOP: &str = r#"(func (export "_start") (loop $l (br $l)))"#;
