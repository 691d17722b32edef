//! The mixnet: its health, its relays by layer, and the paths that messages took.

mod path;
mod relays;

use crate::components::{Badge, Card, Fact, Glyph, Loaded, Notice, Page, TestNetwork};
use crate::format;
use crate::route::Route;
use crate::store::store;
use crate::words;
use fog_api::{GetNetwork, MixnetView, NetworkView};
use leptos::prelude::*;
use path::{MessagePath, RecentMessages};
use relays::Relays;

/// The network, or the path of one message.
#[component]
pub(crate) fn Circuits(message: Option<String>) -> impl IntoView {
    let network = store().network;
    network.ensure(GetNetwork {});
    match message {
        Some(message) => view! {
            <Page
                title="The path of a message"
                subtitle="Each packet chose its own relays and its own delays."
                back=Route::Circuits(None)
                testid="message-paths"
            >
                <MessagePath message />
            </Page>
        }
        .into_any(),
        None => view! {
            <Page title="Circuits" subtitle="Every message travels over three relays that mix it with others." testid="circuits">
                <Loaded load=network.load retry=move |()| network.read(GetNetwork {}) lines=6>
                    <Health />
                    <RecentMessages />
                    <Networks />
                </Loaded>
            </Page>
        }
        .into_any(),
    }
}

#[component]
fn Health() -> impl IntoView {
    let network = store().network;
    let count = move |f: fn(&NetworkView) -> u64| {
        Signal::derive(move || network.part(|n| format::count(f(n)), String::new()))
    };
    let test = Memo::new(move |_| network.part(|n| n.networks.iter().any(|m| m.test), false));
    view! {
        <Card testid="network-health">
            <div class="headline">
                <Badge
                    text=Signal::derive(move || network.part(|n| words::network(n.health).0.into(), String::new()))
                    tone=Signal::derive(move || network.part(|n| words::network(n.health).1, words::Tone::Calm))
                    testid="network-state"
                />
                {move || test.get().then(|| view! { <TestNetwork /> })}
            </div>
            <p class="lead">{move || network.part(|n| n.reason.clone(), String::new())}</p>
            {move || {
                test.get()
                    .then(|| {
                        view! {
                            <Notice
                                tone=words::Tone::Warn
                                text="In a test network all relays run on one device, so whoever owns it can see who writes to whom. What you write stays sealed. Configure a directory to use relays of others."
                            />
                        }
                    })
            }}
            <dl class="facts">
                <Fact label="Packets sent" value=count(|n| n.packets_sent) />
                <Fact label="Packets received" value=count(|n| n.packets_received) />
                <Fact label="Sent again" value=count(|n| n.packets_resent) />
                <Fact label="Mixed for others" value=count(|n| n.packets_mixed) />
                <Fact label="Replays refused" value=count(|n| n.replays_refused) />
                <Fact
                    label="Mean delay a hop"
                    value=Signal::derive(move || network.part(|n| format::duration(n.mean_delay), String::new()))
                />
            </dl>
        </Card>
    }
    .into_any()
}

#[component]
fn Networks() -> impl IntoView {
    let network = store().network;
    // Networks come and go rarely; what is inside them changes every second.
    let ids = Memo::new(move |_| {
        network.part(|n| n.networks.iter().map(|m| m.id.clone()).collect::<Vec<_>>(), Vec::new())
    });
    view! {
        <For
            each=move || ids.get()
            key=Clone::clone
            children=move |id| {
                // Looked up once for each event, however many relays look at it.
                let mixnet = Memo::new_with_compare(
                    move |_| network.part(|n| n.networks.iter().find(|m| m.id == id).cloned(), None),
                    |_, _| true,
                );
                view! { <Mixnet mixnet=mixnet.into() /> }
            }
        />
    }
    .into_any()
}

#[component]
fn Mixnet(mixnet: Signal<Option<MixnetView>>) -> impl IntoView {
    let flag =
        move |f: fn(&MixnetView) -> bool| Memo::new(move |_| mixnet.with(|m| m.as_ref().is_some_and(f)));
    let (test, own, linked) = (flag(|m| m.test), flag(|m| m.own), flag(|m| m.home_connected));
    let title = move || if own.get() { "This device's network" } else { "Joined network" };
    let id = move || mixnet.with(|m| m.as_ref().map(|m| format::short_id(&m.id))).unwrap_or_default();
    let valid = Memo::new(move |_| {
        let until = mixnet.with(|m| m.as_ref().map(|m| m.valid_until)).unwrap_or_default();
        let now = store().now.get();
        if until < now {
            "Its list of relays has run out".to_owned()
        } else {
            format!(
                "Its list of relays is valid for {}",
                format::relative(until, now).trim_start_matches("in ")
            )
        }
    });
    view! {
        <section class="card" data-testid="mixnet">
            <header class="card-head">
                <h2>{title} " " <small class="mono">{id}</small></h2>
                <div class="card-aside">{move || test.get().then(|| view! { <TestNetwork /> })}</div>
            </header>
            <p class="hint">
                {move || if linked.get() { "Linked to the home relay. " } else { "Not linked to the home relay. " }}
                {move || valid.get()} "."
            </p>
            <Relays mixnet />
        </section>
    }
    .into_any()
}

/// The icon of a relay, for the parts of this screen.
const RELAY: Glyph = Glyph::Relay;
