//! View models: the core's state as a person sees it. One module a part of the page.

mod app;
mod chat;
mod governance;
mod harvest;
mod hours;
mod job;
mod network;
mod wallet;

pub use app::*;
pub use chat::*;
pub use governance::*;
pub use harvest::*;
pub use hours::*;
pub use job::*;
pub use network::*;
pub use wallet::*;
