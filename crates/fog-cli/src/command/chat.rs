//! `fog chat`.

use super::{client, contact};
use crate::args::{ChatCommand, Global, Privacy};
use crate::client::Client;
use crate::output::{ago, printable, show, words};
use anyhow::{Context, Result, bail};
use fog_api::*;
use futures_util::StreamExt;
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

pub(crate) fn run(global: &Global, command: ChatCommand) -> Result<()> {
    let client = client(global)?;
    match command {
        ChatCommand::Card => {
            show(global, &client.call(GetCard {})?, |out, card| writeln!(out, "{}", card.text))
        }
        ChatCommand::Add { card } => {
            let added = client.call(AddContact { card: text(card)? })?;
            show(global, &added, |out, c| {
                writeln!(
                    out,
                    "{} is now a contact. Compare the fingerprint with them: {}",
                    c.name, c.fingerprint
                )
            })
        }
        ChatCommand::Contacts => contacts(global, &client),
        ChatCommand::Accept { contact: who } => set_state(global, &client, &who, ContactState::Accepted),
        ChatCommand::Privacy { contact: who, level } => set_privacy(global, &client, &who, level),
        ChatCommand::Block { contact: who } => set_state(global, &client, &who, ContactState::Blocked),
        ChatCommand::Send { contact: who, text: message, wait, timeout } => {
            let peer = contact(&client, &who)?;
            let mut sent = client.call(SendMessage { peer: peer.id.clone(), text: text(message)? })?;
            if wait {
                sent = delivered(&client, &sent, Duration::from_secs(timeout))?;
            }
            show(global, &sent, |out, m| writeln!(out, "{} {}", m.id, words(&m.status)))
        }
        ChatCommand::Read { contact: who, count, peek } => {
            let peer = contact(&client, &who)?;
            let messages = client.call(ListMessages { peer: peer.id.clone(), before: None, limit: count })?;
            if !peek {
                client.call(MarkRead { peer: peer.id.clone() })?;
            }
            show(global, &messages, |out, messages| {
                for m in messages {
                    let who = if m.outgoing { "you" } else { peer.name.as_str() };
                    let status = if m.outgoing { format!(" [{}]", words(&m.status)) } else { String::new() };
                    writeln!(out, "{who}, {}{status}: {}", ago(m.time), printable(&m.text))?;
                }
                Ok(())
            })
        }
        ChatCommand::Follow => follow(global, &client),
        ChatCommand::Path { message } => {
            show(global, &client.call(GetMessagePaths { message })?, |out, paths| {
                if paths.is_empty() {
                    writeln!(
                        out,
                        "No path is known: paths are kept in memory only, and only for messages sent lately."
                    )?;
                }
                for p in paths {
                    let mut hops: Vec<String> =
                        p.hops.iter().map(|h| format!("{} ({:.0} ms)", h.name, h.delay * 1000.0)).collect();
                    if hops.is_empty() {
                        hops.push("directly".into());
                    }
                    let end = p.acknowledged_after.map_or("no acknowledgement".into(), |s| {
                        format!("acknowledged after {:.0} ms", s * 1000.0)
                    });
                    writeln!(
                        out,
                        "packet {} of {}: {} - {end}",
                        p.fragment + 1,
                        p.fragments,
                        hops.join(" > ")
                    )?;
                }
                Ok(())
            })
        }
    }
}

/// An argument, or standard input for `-`.
fn text(argument: String) -> Result<String> {
    if argument != "-" {
        return Ok(argument);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    Ok(text)
}

fn contacts(global: &Global, client: &Client) -> Result<()> {
    show(global, &client.call(ListContacts {})?, |out, contacts| {
        if contacts.is_empty() {
            writeln!(out, "No contacts yet. Add one by their card: fog chat add CARD")?;
        }
        for c in contacts {
            let seen = if c.online { "online".into() } else { c.last_seen.map_or("never seen".into(), ago) };
            let test = if c.test_network { ", test network: no anonymity" } else { "" };
            let unread = if c.unread > 0 { format!(", {} unread", c.unread) } else { String::new() };
            writeln!(
                out,
                "{:<20} {}  {}, {seen}{unread}{test}",
                printable(&c.name),
                &c.id[..8],
                words(&c.state)
            )?;
        }
        Ok(())
    })
}

fn set_state(global: &Global, client: &Client, who: &str, state: ContactState) -> Result<()> {
    let peer = contact(client, who)?;
    let changed = client.call(SetContactState { peer: peer.id, state })?;
    show(global, &changed, |out, c| writeln!(out, "{} is now {}", c.name, words(&c.state)))
}

fn set_privacy(global: &Global, client: &Client, who: &str, level: Privacy) -> Result<()> {
    let peer = contact(client, who)?;
    let (level, relays) = match level {
        Privacy::Public => {
            (PrivacyLevel::Public, "a direct connection, if they choose it too and there is one,")
        }
        Privacy::Private => (PrivacyLevel::Private, "three relays"),
        Privacy::Confidential => (PrivacyLevel::Confidential, "five relays"),
        Privacy::Secret => (PrivacyLevel::Secret, "five relays to a meeting point, and five more,"),
    };
    let changed = client.call(SetPrivacyLevel { peer: peer.id, level })?;
    show(global, &changed, |out, c| writeln!(out, "messages to {} go over {relays} now", printable(&c.name)))
}

fn delivered(client: &Client, sent: &Message, patience: Duration) -> Result<Message> {
    let start = Instant::now();
    loop {
        let messages = client.call(ListMessages { peer: sent.peer.clone(), before: None, limit: 100 })?;
        let now = messages.into_iter().find(|m| m.id == sent.id).context("the message is gone")?;
        if now.status >= MessageStatus::Delivered {
            return Ok(now);
        }
        if start.elapsed() > patience {
            let why = now.reason.map(|r| format!(" ({r})")).unwrap_or_default();
            bail!(
                "not delivered within {} s{why}; it stays in the outbox and is sent again",
                patience.as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn follow(global: &Global, client: &Client) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let url = format!("{}/api/events", client.access().url.replacen("http", "ws", 1));
        let mut request = url.into_client_request()?;
        let bearer = format!("Bearer {}", client.access().token);
        request.headers_mut().insert("authorization", bearer.parse()?);
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
        while let Some(message) = socket.next().await {
            let Ok(text) = message?.into_text() else { continue };
            let mut out = std::io::stdout().lock();
            if global.json {
                writeln!(out, "{text}")?;
            } else if let Ok(Event { body: EventBody::Message(m), .. }) = serde_json::from_str(&text) {
                let way = if m.outgoing { "to" } else { "from" };
                writeln!(out, "{way} {} [{}] {}", &m.peer[..8], words(&m.status), printable(&m.text))?;
            }
        }
        bail!("the node has stopped")
    })
}
