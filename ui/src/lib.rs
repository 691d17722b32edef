//! The page: everything that a person sees of a node, in the window and in a browser.
//!
//! It is a Leptos program that runs in the browser alone. [`fog_api`] is all it knows of the node.
//!
//! ```text
//!   screens ---- one module a screen, drawn from components
//!      |
//!   store  ----- what the node said last, in signals keyed by id; events change it in place
//!      |
//!   core_link -- typed calls, uploads, downloads and the stream of events:
//!                Tauri's IPC in the window, HTTP and a WebSocket in a browser
//! ```
//!
//! [`route`], [`format`], [`words`], [`chart`], [`traffic`], [`hours`], [`job_form`] and [`frame`] are pure and build anywhere; the rest needs a
//! browser and builds for `wasm32-unknown-unknown` only. `cargo xtask ui` makes the files that a node serves. The marks that tests find
//! elements by are listed in this package's README.

#![allow(unreachable_pub, reason = "the component macro makes public items")]
#![allow(clippy::needless_pass_by_value, reason = "components own their properties")]

pub mod chart;
pub mod format;
pub mod frame;
pub mod hours;
pub mod job_form;
pub mod route;
pub mod traffic;
pub mod words;

#[cfg(target_arch = "wasm32")]
pub mod app;
#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
mod components;
#[cfg(target_arch = "wasm32")]
mod core_link;
#[cfg(target_arch = "wasm32")]
mod files;
#[cfg(target_arch = "wasm32")]
mod keyed;
#[cfg(target_arch = "wasm32")]
mod screens;
#[cfg(target_arch = "wasm32")]
mod shell;
#[cfg(target_arch = "wasm32")]
mod shortcuts;
#[cfg(target_arch = "wasm32")]
mod store;
#[cfg(target_arch = "wasm32")]
mod theme;
