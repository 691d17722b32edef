//! What a job asks for.

use crate::{Hash, PeerId};
use serde::{Deserialize, Serialize};

/// Limits of a job. What is left out in JSON has the baseline's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobLimits {
    /// Running time, seconds.
    pub seconds: u32,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Standard output and output files together, MiB.
    pub output_mib: u32,
    /// CPU, thousandths of a core: 500 to 16,000.
    pub millicores: u32,
    /// Disk for scratch files, MiB.
    pub storage_mib: u32,
    /// Processes and threads of a container.
    pub pids: u32,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self { seconds: 300, memory_mib: 512, output_mib: 64, millicores: 1000, storage_mib: 1024, pids: 64 }
    }
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "runtime", rename_all = "snake_case")]
pub enum JobProgram {
    /// A WASM module with a WASI entry point.
    Wasm {
        /// The uploaded module.
        module: Hash,
        /// Clock, random numbers and floats are the same everywhere, so that copies agree bit for bit.
        #[serde(default = "yes")]
        deterministic: bool,
    },
    /// A container.
    Container {
        /// The image: `name@sha256:...`, or any label where an archive is given.
        image: String,
        /// An uploaded image archive (`docker save`), where the image is in no registry.
        #[serde(default)]
        archive: Option<Hash>,
        /// Replaces the image's entry point.
        #[serde(default)]
        entrypoint: Option<Vec<String>>,
    },
}

fn yes() -> bool {
    true
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum JobSource {
    /// An uploaded file.
    Upload {
        /// Its hash.
        hash: Hash,
    },
    /// The standard output of another job of mine, which must be completed first.
    Stdout {
        /// The other job.
        job: String,
    },
    /// The archive (tar) of another job's output files, which must be completed first.
    Files {
        /// The other job.
        job: String,
    },
}

/// A file that a program finds below `/in`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobInput {
    /// Its path below `/in`, with `/` between the parts.
    pub name: String,
    /// Its content.
    #[serde(flatten)]
    pub source: JobSource,
}

/// Who may run a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobTarget {
    /// Any accepted contact of the same ledger that is reachable; the best by reputation and load.
    #[default]
    Anyone,
    /// This device, at once and without pay.
    ThisDevice,
    /// One of these contacts.
    Contacts {
        /// Their ids.
        peers: Vec<PeerId>,
    },
}

/// The indices of an array, both ends included. At most 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobArray {
    /// The first index.
    pub first: u32,
    /// The last index.
    pub last: u32,
}

/// How much a job matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SlaClass {
    /// Three copies run at once and must agree; price x2.0.
    S,
    /// One runs and another stands by; price x1.5.
    A,
    /// One copy, and another now and then to check a device that is not known well; price x1.0.
    #[default]
    B,
}
