//! The mixnet's health, and what it promises now.

use crate::components::{Badge, Card, Fact, TestNetwork};
use crate::format;
use crate::store::store;
use crate::words::{self, Tone};
use fog_api::{NetworkView, PrivacyState};
use leptos::prelude::*;

/// One card: the state, the promise, the counters.
#[component]
pub(super) fn Health() -> impl IntoView {
    let network = store().network;
    let text = move |f: fn(&NetworkView) -> String| Signal::derive(move || network.part(f, String::new()));
    let test = Memo::new(move |_| network.part(|n| n.networks.iter().any(|m| m.test), false));
    view! {
        <Card testid="network-health">
            <div class="headline">
                <Badge
                    text=text(|n| words::network(n.health).0.into())
                    tone=Signal::derive(move || network.part(|n| words::network(n.health).1, Tone::Calm))
                    testid="network-state"
                />
                {move || test.get().then(|| view! { <TestNetwork /> })}
            </div>
            <p class="lead">{text(|n| n.reason.clone())}</p>
            <Promise />
            <dl class="facts">
                <Fact label="Packets sent" value=text(|n| format::count(n.packets_sent)) />
                <Fact label="Packets received" value=text(|n| format::count(n.packets_received)) />
                <Fact label="Sent again" value=text(|n| format::count(n.packets_resent)) />
                <Fact label="Mixed for others" value=text(|n| format::count(n.packets_mixed)) />
                <Fact label="Replays refused" value=text(|n| format::count(n.replays_refused)) />
                <Fact label="Mean delay a hop" value=text(|n| format::duration(n.mean_delay)) />
            </dl>
        </Card>
    }
    .into_any()
}

/// The states as steps: each keeps what the one before hides and hides more.
#[component]
fn Promise() -> impl IntoView {
    let network = store().network;
    // Which step is the present one.
    let at = Memo::new(move |_| {
        let state = network.part(|n| n.privacy.state, PrivacyState::Waiting);
        words::PRIVACY.iter().position(|s| *s == state).unwrap_or_default()
    });
    let own_test = Memo::new(move |_| network.part(|n| n.networks.iter().all(|m| m.test), false));
    let step = move |(i, step): (usize, PrivacyState)| {
        let (title, adds) = words::privacy(step);
        view! {
            <li
                class="step"
                class:passed=move || i < at.get()
                class:waiting=step == PrivacyState::Waiting
                aria-current=move || (i == at.get()).then_some("step")
            >
                <span class="step-dot" aria-hidden="true"></span>
                <span class="step-title">{title}</span>
                <span class="step-adds">{adds}</span>
            </li>
        }
    };
    view! {
        <div class="promise" data-testid="privacy">
            <ol class="steps" aria-label="How far the mixnet protects now">
                {words::PRIVACY.into_iter().enumerate().map(step).collect_view()}
            </ol>
            <div class="promise-texts">
                <div>
                    <h3>"What holds now"</h3>
                    <p data-testid="privacy-promise">
                        {move || network.part(|n| n.privacy.promise.clone(), String::new())}
                    </p>
                </div>
                <div>
                    <h3>"What it does not protect"</h3>
                    <p data-testid="privacy-limits">
                        {move || network.part(|n| n.privacy.limits.clone(), String::new())}
                        {move || own_test.get().then_some(" Configure a directory to use relays of others.")}
                    </p>
                </div>
            </div>
        </div>
    }
    .into_any()
}
