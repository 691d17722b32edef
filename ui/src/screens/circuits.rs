//! The mixnet: what it promises now, cover traffic, the paths that messages took, its relays by layer, and a mixnode on
//! this device.

mod cover;
mod health;
mod mixnode;
mod path;
mod relays;

use crate::components::{Fact, Glyph, Loaded, Page, TestNetwork};
use crate::format;
use crate::route::Route;
use crate::store::store;
use crate::words;
use cover::Cover;
use fog_api::{GetNetwork, GetSettings, MixnetView};
use health::Health;
use leptos::prelude::*;
use mixnode::Mixnode;
use path::{MessagePath, RecentMessages};
use relays::Relays;

/// The network, or the path of one message.
#[component]
pub(crate) fn Circuits(message: Option<String>) -> impl IntoView {
    let network = store().network;
    network.ensure(GetNetwork {});
    store().settings.ensure(GetSettings {});
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
                    <Cover />
                    <RecentMessages />
                    <Networks />
                    <Mixnode />
                </Loaded>
            </Page>
        }
        .into_any(),
    }
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
    let part = move |f: fn(&MixnetView, f64) -> Option<String>| {
        Memo::new(move |_| mixnet.with(|m| m.as_ref().and_then(|m| f(m, store().now.get()))))
    };
    let ends = part(|m, now| Some(ahead(m.valid_until, now).unwrap_or_else(|| "It has run out".into())));
    let signed = part(|m, _| if m.own { None } else { words::signatures(m.signed_by, m.authorities) });
    let keys = part(|m, now| Some(ahead(m.epoch_ends?, now).unwrap_or_else(|| "now".into())));
    let optional = |label: &'static str, testid: &'static str, value: Memo<Option<String>>| {
        move || {
            let there = value.with(Option::is_some);
            let value = Signal::derive(move || value.get().unwrap_or_default());
            there.then(|| view! { <Fact label value testid /> })
        }
    };
    view! {
        <section class="card" data-testid="mixnet">
            <header class="card-head">
                <h2>{title} " " <small class="mono">{id}</small></h2>
                <div class="card-aside">{move || test.get().then(|| view! { <TestNetwork /> })}</div>
            </header>
            <dl class="facts">
                <Fact
                    label="Home relay"
                    value=Signal::derive(move || if linked.get() { "Linked" } else { "Not linked" }.to_owned())
                />
                {optional("Directory signed by", "signatures", signed)}
                {optional("Directory ends", "directory-ends", ends)}
                {optional("Relays' keys change", "keys-change", keys)}
            </dl>
            <Relays mixnet />
        </section>
    }
    .into_any()
}

/// In how long something is; none if it is over.
fn ahead(time: f64, now: f64) -> Option<String> {
    (time > now).then(|| format!("in {}", format::rough(time - now)))
}

/// The icon of a relay, for the parts of this screen.
const RELAY: Glyph = Glyph::Relay;
