//! A simulator of the mesh.
//!
//! The very engine of the product ([`bitchat::mesh::Engine`]) runs a thousand times in one process, under a simulated clock
//! and a simulated radio: range, at most eight links a node, 16 kB/s a link, lost operations, scans that are mostly off,
//! people who stand, walk about, or belong to communities. [`run`] runs a scenario with several seeds and several rule
//! sets and gives means with confidence intervals beside goals. The same seed gives the same run, bit for bit.
//!
//! What it leaves out: radio collisions (the link layer of Bluetooth repeats what collides), and cryptography that the
//! engine never sees: sessions between neighbours are assumed, at the cost of their handshake and padding.

mod chance;
mod keys;
mod log;
mod measure;
mod mobility;
mod plot;
mod profile;
mod radio;
mod report;
mod scenario;
mod statistics;
mod world;

pub use plot::svg;
pub use report::{Curve, Metric, Report};
pub use scenario::{NAMES, Options, ScenarioError, run};
