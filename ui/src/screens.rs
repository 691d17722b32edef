//! The screens, one module each.

mod chat;
mod circuits;
mod compute;
mod earnings;
mod first_run;
mod governance;
mod job;
mod locked;
mod new_job;
mod overview;
mod proposal;
mod settings;

pub(crate) use chat::Chat;
pub(crate) use circuits::Circuits;
pub(crate) use compute::Compute;
pub(crate) use earnings::Earnings;
pub(crate) use first_run::FirstRun;
pub(crate) use governance::Governance;
pub(crate) use job::Job;
pub(crate) use locked::Locked;
pub(crate) use new_job::NewJob;
pub(crate) use overview::Overview;
pub(crate) use proposal::Proposal;
pub(crate) use settings::Settings;
