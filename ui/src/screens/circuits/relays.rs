//! A mixnet's relays in their three layers.

use super::RELAY;
use crate::components::{Icon, Meter};
use crate::format;
use crate::words::{self, Tone};
use fog_api::{MixnetView, RelayView};
use leptos::prelude::*;

/// Columns, one a layer, in the direction in which packets travel.
#[component]
pub(super) fn Relays(mixnet: Signal<Option<MixnetView>>) -> impl IntoView {
    let layers = Memo::new(move |_| {
        let mut layers = mixnet
            .with(|m| m.as_ref().map(|m| m.relays.iter().map(|r| r.layer).collect::<Vec<_>>()))
            .unwrap_or_default();
        layers.sort_unstable();
        layers.dedup();
        layers
    });
    view! {
        <div class="layers">
            <For
                each=move || layers.get()
                key=|layer| *layer
                children=move |layer| view! { <Layer mixnet layer /> }
            />
        </div>
    }
    .into_any()
}

#[component]
fn Layer(mixnet: Signal<Option<MixnetView>>, layer: u8) -> impl IntoView {
    let ids = Memo::new(move |_| {
        let of_layer = |m: &MixnetView| {
            m.relays.iter().filter(|r| r.layer == layer).map(|r| r.id.clone()).collect::<Vec<_>>()
        };
        mixnet.with(|m| m.as_ref().map(of_layer)).unwrap_or_default()
    });
    view! {
        <section class="layer">
            <h3>{words::layer(layer)}</h3>
            <ul>
                <For each=move || ids.get() key=Clone::clone children=move |id| view! { <Relay mixnet id /> } />
            </ul>
        </section>
    }
    .into_any()
}

#[component]
fn Relay(mixnet: Signal<Option<MixnetView>>, id: String) -> impl IntoView {
    let find = move |m: &MixnetView| -> Option<(RelayView, bool)> {
        let home = m.home.as_ref() == Some(&id) || m.more_homes.contains(&id);
        m.relays.iter().find(|r| r.id == id).cloned().map(|r| (r, home))
    };
    let relay = Signal::derive(move || mixnet.with(|m| m.as_ref().and_then(&find)));
    let part = move |f: fn(&RelayView) -> String| {
        move || relay.with(|r| r.as_ref().map(|r| f(&r.0))).unwrap_or_default()
    };
    let flag = move |f: fn(&RelayView) -> bool| {
        Memo::new(move |_| relay.with(|r| r.as_ref().is_some_and(|r| f(&r.0))))
    };
    let (in_use, drawn, pinned) = (flag(|r| r.in_use), flag(|r| r.drawn), flag(|r| r.pinned));
    let named = flag(|r| !r.operator.is_empty());
    let home = Memo::new(move |_| relay.with(|r| r.as_ref().is_some_and(|r| r.1)));
    let share = Memo::new(move |_| relay.with(|r| r.as_ref().and_then(|r| r.0.delivered_share)));
    let measured = Memo::new(move |_| {
        relay.with(|r| r.as_ref().and_then(|r| Some((r.0.performance?, r.0.reputation.unwrap_or_default()))))
    });
    let tag = |on: Memo<bool>, text: &'static str, mark: &'static str| {
        move || on.get().then(|| view! { <span class="tag" data-testid=mark>{text}</span> })
    };
    view! {
        <li
            class="relay"
            class:out=move || !in_use.get() || !drawn.get()
            title=part(|r| format!("{} at {}", r.id, r.address))
            data-testid="relay"
        >
            <Icon glyph=RELAY />
            <span class="relay-main">
                <span class="relay-name">
                    <span data-testid="relay-name">{part(|r| words::relay(&r.operator, &r.name).to_owned())}</span>
                    {move || named.get().then(|| view! { <small class="mono">{part(|r| r.name.clone())}</small> })}
                    {tag(home, "home", "relay-home")}
                    {tag(pinned, "your entry", "relay-pinned")}
                </span>
                <span class="relay-sub">
                    {move || match (in_use.get(), drawn.get(), share.get()) {
                        (false, ..) => "left out for now".to_owned(),
                        (true, false, None) => "not drawn in this epoch".to_owned(),
                        (true, true, None) => "not used yet".to_owned(),
                        (true, drawn, Some(share)) => {
                            let rests = if drawn { "" } else { ", not drawn in this epoch" };
                            format!("{} of yours acknowledged{rests}", format::percent(share))
                        }
                    }}
                </span>
                {move || {
                    share.get()
                        .map(|share| {
                            let tone = if share >= 0.9 { Tone::Good } else if share >= 0.6 { Tone::Warn } else { Tone::Bad };
                            view! { <Meter label="Packets acknowledged lately" share tone /> }
                        })
                }}
                {move || {
                    measured.get()
                        .map(|(lately, long)| {
                            let text = format!(
                                "Authorities: {}, reputation {}",
                                format::percent(lately),
                                format::percent(long),
                            );
                            view! { <span class="relay-sub" data-testid="relay-measured">{text}</span> }
                        })
                }}
            </span>
        </li>
    }
    .into_any()
}
