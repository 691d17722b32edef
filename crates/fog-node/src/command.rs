//! From each command to what carries it out.

use crate::error::{Result, bad_input, internal};
use crate::node::Node;
use crate::{chat, compute, contacts, governance, harvest, overview, settings, wallet};
use fog_api::Command;
use serde::Serialize;
use serde_json::Value;

fn json<T: Serialize>(value: T) -> Result<Value> {
    serde_json::to_value(value).map_err(internal)
}

pub(crate) async fn dispatch(node: &Node, command: Command) -> Result<Value> {
    let core = match command {
        Command::GetState(_) => return json(node.state()),
        Command::CreateIdentity(c) => return json(node.create_identity(&c.name).await?),
        Command::Unlock(c) => return json(node.unlock(c.passphrase).await?),
        Command::ShowWindow(_) => return json(node.show_window()?),
        _ => node.core()?,
    };
    match command {
        Command::GetState(_) | Command::CreateIdentity(_) | Command::Unlock(_) | Command::ShowWindow(_) => {
            json(node.state())
        }
        Command::SetPassphrase(c) => {
            if c.new.chars().count() < 8 {
                return Err(bad_input("A passphrase has at least 8 characters."));
            }
            let sealed = tokio::task::spawn_blocking({
                let core = core.clone();
                move || core.set_passphrase(c.current.as_deref(), &c.new)
            });
            if !sealed.await.map_err(internal)?.map_err(internal)? {
                return Err(crate::error::refused("The present passphrase is wrong."));
            }
            core.bus.emit(fog_api::EventBody::State(core.app_state()));
            json(())
        }
        Command::GetOverview(_) => json(overview::view(&core).await?),
        Command::ListContacts(_) => json(contacts::list(&core).await?),
        Command::GetCard(_) => json(contacts::card_view(&core)?),
        Command::AddContact(c) => json(contacts::add(&core, &c.card).await?),
        Command::SetPrivacyLevel(c) => json(contacts::set_privacy(&core, &c.peer, c.level).await?),
        Command::SetContactState(c) => json(contacts::set_state(&core, &c.peer, c.state).await?),
        Command::ListMessages(c) => json(chat::list(&core, &c.peer, c.before.as_deref(), c.limit).await?),
        Command::SendMessage(c) => json(chat::send(&core, &c.peer, c.text).await?),
        Command::MarkRead(c) => json(chat::mark_read(&core, &c.peer).await?),
        Command::GetNetwork(_) => json(core.network.view(&core)),
        Command::ChangeHome(c) => {
            json(crate::network::home::change_primary(&core, c.relay.as_deref()).await?)
        }
        Command::GetMessagePaths(c) => json(chat::paths(&core, &c.message)?),
        Command::GetHarvest(_) => json(harvest::get(&core).await?),
        Command::SetHarvest(c) => json(harvest::set(&core, c.prefs).await?),
        Command::SetHarvestMode(c) => json(harvest::set_mode(&core, c.mode).await?),
        Command::PauseHarvest(c) => json(harvest::pause(&core, c.seconds).await?),
        Command::WorkNow(c) => json(harvest::work_now(&core, c.on).await?),
        Command::ListJobs(_) => json(compute::list(&core).await?),
        Command::GetJob(c) => json(compute::get(&core, &c.id).await?),
        Command::SubmitJob(c) => json(compute::submit(&core, c).await?),
        Command::CancelJob(c) => json(compute::cancel(&core, &c.id).await?),
        Command::RetryJob(c) => json(compute::retry(&core, &c.id).await?),
        Command::ListJobElements(c) => json(compute::elements(&core, &c.id, c.from, c.limit).await?),
        Command::GetJobLog(c) => json(compute::log(&core, &c.id, c.offset, c.limit).await?),
        Command::GetJobOutputs(c) => json(compute::outputs(&core, &c.id).await?),
        Command::ListWorkers(_) => json(compute::workers(&core).await?),
        Command::GetRuntimes(_) => json(compute::runtimes_view(&core)),
        Command::GetWallet(_) => json(wallet::view(&core).await?),
        Command::ListProposals(_) => json(governance::list(&core).await?),
        Command::CreateProposal(c) => json(governance::create(&core, c.kind, &c.title, &c.body).await?),
        Command::CastVote(c) => json(governance::vote(&core, &c.proposal, c.choice).await?),
        Command::GetSettings(_) => json(core.settings.read().clone()),
        Command::SetSettings(c) => json(settings::set(&core, c.settings).await?),
    }
}
