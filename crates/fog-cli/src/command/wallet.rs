//! `fog wallet`.

use super::client;
use crate::args::Global;
use crate::output::{ago, show};
use anyhow::Result;
use fog_api::GetWallet;

pub(crate) fn run(global: &Global) -> Result<()> {
    show(global, &client(global)?.call(GetWallet {})?, |out, w| {
        writeln!(out, "balance  {} FOG", w.balance.exact())?;
        writeln!(out, "escrow   {} FOG", w.escrow.exact())?;
        writeln!(out, "earned   {} FOG, spent {} FOG with jobs", w.earned.exact(), w.spent.exact())?;
        for e in &w.entries {
            let sign = if e.credit { '+' } else { '-' };
            writeln!(out, "  {sign}{} FOG  {} ({}), {}", e.amount.exact(), e.memo, e.other, ago(e.time))?;
        }
        Ok(())
    })
}
