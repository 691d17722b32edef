//! The paths of a message's packets: which relays, which delays, how long until the acknowledgement.

use super::RELAY;
use crate::components::{Badge, Card, Clock, Empty, Glyph, Icon, Loaded, TestNetwork};
use crate::format;
use crate::keyed::Single;
use crate::route::Route;
use crate::store::store;
use crate::words::{self, Tone};
use crate::{browser, keyed::Load};
use fog_api::{GetMessagePaths, Hop, ListContacts, Message, NetworkView, PacketPath};
use leptos::prelude::*;

/// How many messages are offered.
const MESSAGES: usize = 6;

/// My latest messages, each a way to its path.
#[component]
pub(super) fn RecentMessages() -> impl IntoView {
    let store = store();
    store.contacts.ensure(ListContacts {});
    store.open_recent();
    let recent = Memo::new(move |_| {
        let mut recent = store.sent_messages();
        recent.sort_by(|a, b| b.1.time.total_cmp(&a.1.time));
        recent.truncate(MESSAGES);
        recent
    });
    let row = |(name, message): (String, Message)| {
        view! {
            <li>
                <a class="row link" href=Route::Circuits(Some(message.id)).href() data-testid="recent-message">
                    <Icon glyph=Glyph::Route />
                    <span class="row-main">
                        <span class="row-title">{message.text}</span>
                        <span class="row-sub">"to " {name} " · " {words::status(message.status).0}</span>
                    </span>
                    <Clock time=message.time />
                    <Icon glyph=Glyph::Next />
                </a>
            </li>
        }
    };
    view! {
        <Show when=move || !recent.with(Vec::is_empty)>
            <Card title="Paths of your latest messages">
                <ul class="rows">{move || recent.get().into_iter().map(row).collect_view()}</ul>
            </Card>
        </Show>
    }
    .into_any()
}

/// The paths of one message's packets.
#[component]
pub(super) fn MessagePath(message: String) -> impl IntoView {
    let paths = Single::<Vec<PacketPath>>::new();
    let read = {
        let message = message.clone();
        move || paths.read(GetMessagePaths { message: message.clone() })
    };
    read();
    // There is no event for a path; while an acknowledgement is awaited, look again.
    let again = read.clone();
    let timer = set_interval_with_handle(
        move || {
            let waits =
                |p: &Vec<PacketPath>| p.is_empty() || p.iter().any(|p| p.acknowledged_after.is_none());
            let unfinished = paths.value.with_untracked(|p| p.as_ref().is_none_or(waits));
            if unfinished && browser::visible() && paths.load.get_untracked() == Load::Ready {
                again();
            }
        },
        std::time::Duration::from_secs(2),
    );
    on_cleanup(move || {
        if let Ok(timer) = timer {
            timer.clear();
        }
    });
    let store = store();
    store.network.ensure(fog_api::GetNetwork {});
    let test = Memo::new(move |_| store.network.part(|n| n.networks.iter().any(|m| m.test), false));
    let none = Memo::new(move |_| paths.part(Vec::is_empty, true));
    store.open_recent();
    let about = Memo::new(move |_| store.sent_messages().into_iter().find(|(_, m)| m.id == message));
    let to = Signal::derive(move || about.with(|a| a.as_ref().map(|a| a.0.clone())));
    view! {
        <div class="path-of">
            <p>{move || about.with(|a| a.as_ref().map(|(name, m)| format!("“{}” to {name}", m.text)))}</p>
            {move || test.get().then(|| view! { <TestNetwork /> })}
        </div>
        <Loaded load=paths.load retry=move |()| read() lines=5>
            <Show
                when=move || !none.get()
                fallback=|| {
                    view! {
                        <Empty
                            glyph=Glyph::Route
                            title="No packet has left yet"
                            text="The message waits on this device. As soon as it is sent, its way shows here."
                        />
                    }
                }
            >
                <ol class="paths">
                    {move || paths.part(|p| p.iter().cloned().map(|path| view! { <Packet path to /> }).collect_view(), Vec::new())}
                </ol>
            </Show>
        </Loaded>
    }
    .into_any()
}

#[component]
fn Packet(path: PacketPath, to: Signal<Option<String>>) -> impl IntoView {
    let (text, tone) = match path.acknowledged_after {
        Some(after) => (format!("Acknowledged after {}", format::duration(after)), Tone::Good),
        None => ("No acknowledgement yet".to_owned(), Tone::Active),
    };
    let title = if path.fragments > 1 {
        format!("Part {} of {}", path.fragment + 1, path.fragments)
    } else {
        "The whole message".to_owned()
    };
    let drawn: f64 = path.hops.iter().map(|h| h.delay).sum();
    let last = path.hops.len();
    let hop = move |(i, hop): (usize, Hop)| {
        let role = if i + 1 == last { "Home relay" } else { words::layer(hop.layer) };
        let id = hop.relay.clone();
        let operator = Memo::new(move |_| {
            let relays = |n: &NetworkView| {
                let mut all = n.networks.iter().flat_map(|m| &m.relays);
                all.find(|r| r.id == id).map(|r| r.operator.clone())
            };
            store().network.part(relays, None).filter(|o| !o.is_empty())
        });
        view! {
            <li class="hop" data-testid="hop">
                <span class="hop-dot">
                    <Icon glyph=RELAY />
                </span>
                <span class="hop-role">{role}</span>
                <span class="hop-name" title=hop.relay>
                    {move || operator.get().map(|operator| format!("{operator} "))}
                    {hop.name}
                </span>
                <span class="hop-delay">{format!("waits {}", format::duration(hop.delay))}</span>
            </li>
        }
    };
    view! {
        <li class="card path" data-testid="packet-path">
            <header class="card-head">
                <h2>{title}</h2>
                <div class="card-aside"><Badge text tone testid="packet-ack" /></div>
            </header>
            <ol class="hops">
                <li class="hop end">
                    <span class="hop-dot"></span>
                    <span class="hop-role">"You"</span>
                    <span class="hop-name"><Clock time=path.sent /></span>
                </li>
                {path.hops.into_iter().enumerate().map(hop).collect_view()}
                <li class="hop end">
                    <span class="hop-dot"></span>
                    <span class="hop-role">{move || to.get().unwrap_or_else(|| "They".into())}</span>
                </li>
            </ol>
            <p class="hint">
                {if last == 0 {
                    "It went directly, over no relay.".to_owned()
                } else {
                    format!("The delays drawn for this packet add up to {}.", format::duration(drawn))
                }}
            </p>
        </li>
    }
    .into_any()
}
