//! `fog bench`.

use crate::args::{BenchArgs, Global};
use anyhow::{Result, bail};

pub(crate) fn run(_global: &Global, _args: &BenchArgs) -> Result<()> {
    bail!("not yet")
}
