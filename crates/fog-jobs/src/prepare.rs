//! Makes an ordinary WASI command movable: `fog job prepare IN.wasm -o OUT.wasm`.
//!
//! A running module has its state in three places: linear memory, globals, and the call stack, which nobody can read. A
//! prepared module can put its call stack away and take it up again, so that memory, globals and stack together are a
//! checkpoint which another device, or another engine, can go on from. This is asyncify's idea (as binaryen and
//! Emscripten have it) with three differences that fit our purpose, and needs no tool beside this crate.
//!
//! **What is added.** Imports `fog.poll`, `fog.push`, `fog.pop`; exported globals `fog:state` (0 runs, 1 puts its stack
//! away, 2 takes it up), `fog:flag` (the host wants something) and `fog:global:N` for each mutable global. At every loop's
//! head, and at the entry of every function that may call itself, the module looks at `fog:flag` and, if it is set, calls
//! `fog.poll`. So a running module is never far from a point where it can stop, and the look is one load and one branch.
//!
//! **Putting away.** In `poll` the host sets the state to 1. Each function on the stack sees that after the call that it was
//! in, pushes its locals and the number of the call (`fog.push`), and returns. When `_start` has returned, the host has
//! the frames.
//!
//! **Taking up.** The host sets the state to 2 and calls `_start` again. Each function then pops its frame and jumps to the
//! call that it was in, down to the innermost, whose `poll` sets the state back to 0. The jump is done by a second copy of
//! each function, with a dispatch at the head of each block. Thus the first copy, in which a module spends its life
//! until it is moved, has no cost but the looks: binaryen's asyncify guards every stretch of code instead.
//!
//! Only functions that can be on the stack at such a point are rewritten. A module that uses what cannot be put away
//! (exceptions, tail calls, changed tables, shared or several memories) is refused with the reason; it runs unprepared.

mod assemble;
mod calls;
mod emit;
mod summary;
mod tree;

/// The module name of the added imports.
pub const IMPORT_MODULE: &str = "fog";
/// Exported global: 0 runs, 1 puts its stack away, 2 takes it up.
pub const STATE_GLOBAL: &str = "fog:state";
/// Exported global: not 0 if the host wants `poll` to be called.
pub const FLAG_GLOBAL: &str = "fog:flag";
/// Exported globals with this prefix and a number are the module's own mutable globals.
pub const GLOBAL_PREFIX: &str = "fog:global:";
/// Custom section that marks a prepared module.
pub const MARK: &str = "fog:prepared";

/// Largest module that is prepared, bytes.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Deepest nesting of blocks. Compilers nest one block for each case of a `switch`.
const MAX_NESTING: usize = 10_000;
/// Stack of the thread that rewrites: it recurses along the nesting.
const STACK: usize = 512 * 1024 * 1024;

/// A module that can move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The module.
    pub module: Vec<u8>,
    /// How many functions were rewritten.
    pub rewritten: u32,
    /// How many functions it had.
    pub functions: u32,
}

/// Why a module was not prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// No valid WASM module.
    #[error("this is not a valid WASM module: {0}")]
    NotWasm(String),
    /// It is prepared already; use it as it is.
    #[error("the module is prepared already")]
    Already,
    /// It uses something that cannot be put away. It can be run unprepared, without moving.
    #[error(
        "the module cannot be made movable: {0}. It runs as it is, but starts anew when its device stops"
    )]
    Cannot(String),
}

/// Makes a WASI command (`_start`) movable.
///
/// # Errors
/// [`PrepareError`] says what is in the way.
pub fn prepare(module: &[u8]) -> Result<Prepared, PrepareError> {
    if module.len() > MAX_BYTES {
        return Err(PrepareError::Cannot(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    // A scoped thread, for its stack.
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || assemble::assemble(&summary::read(module)?))
            .map_err(|e| PrepareError::Cannot(format!("no thread could be started ({e})")))?;
        worker.join().unwrap_or_else(|_| Err(PrepareError::Cannot("an unforeseen error".into())))
    })
}

/// True if the module carries the mark of a prepared one. Says nothing about whether it is well made.
pub fn is_prepared(module: &[u8]) -> bool {
    wasmparser::Parser::new(0).parse_all(module).map_while(Result::ok).any(
        |payload| matches!(payload, wasmparser::Payload::CustomSection(section) if section.name() == MARK),
    )
}
