//! Cover traffic: what it costs, what runs now, and what went over the line.

use crate::components::{Card, Choice, Fact};
use crate::format;
use crate::keyed::Load;
use crate::store::store;
use crate::traffic::{self, Drawing};
use crate::words;
use fog_api::{CoverChoice, CoverProfile, CoverView, TrafficPoint};
use leptos::prelude::*;

/// The chart, the counters and the choices.
#[component]
pub(super) fn Cover() -> impl IntoView {
    let network = store().network;
    let fact = move |f: fn(&CoverView) -> String| {
        Signal::derive(move || network.part(|n| f(&n.cover), String::new()))
    };
    view! {
        <Card title="Cover traffic" testid="cover">
            <p class="lead">
                "Packets that carry nothing leave beside yours and look the same, so that nobody who watches the line sees when you write. Loops come back to this device and show that the way works; drops end at a relay."
            </p>
            <Chart />
            <dl class="facts">
                <Fact label="Runs now" value=fact(|c| words::cover(c.profile).0.into()) testid="cover-now" />
                <Fact label="Loops sent" value=fact(|c| format::count(c.loops)) />
                <Fact label="Loops that came back" value=fact(|c| format::count(c.loops_back)) testid="loops-back" />
                <Fact label="Loops that got lost" value=fact(|c| format::count(c.loops_lost)) testid="loops-lost" />
                <Fact label="Drops sent" value=fact(|c| format::count(c.drops)) />
            </dl>
            <Choices />
        </Card>
    }
    .into_any()
}

/// Which profile: the network's choice or one of them.
#[component]
fn Choices() -> impl IntoView {
    let store = store();
    let (network, settings) = (store.network, store.settings);
    let saved = Memo::new(move |_| settings.part(|s| s.cover, None));
    let known = Memo::new(move |_| settings.load.get() == Load::Ready);
    // What is chosen shows at once; a refusal takes it back.
    let chosen = RwSignal::new(None::<CoverProfile>);
    Effect::new(move |_| chosen.set(saved.get()));
    let choose = move |profile: Option<CoverProfile>| {
        chosen.set(profile);
        let refused = move |error| {
            chosen.set(saved.get_untracked());
            store.complain(&error);
        };
        store.change_settings(|s| s.cover = profile, refused);
    };
    let is = move |profile| Signal::derive(move || known.get() && chosen.get() == profile);
    let by_network = Signal::derive(move || {
        let now = network.part(|n| n.cover.automatic.then_some(n.cover.profile), None);
        let rule = "None in a test network, the standard profile elsewhere.";
        match now {
            Some(now) => format!("{rule} It chose: {}.", words::cover(now).0),
            None => rule.to_owned(),
        }
    });
    let choices = Memo::new(move |_| network.part(|n| n.cover.choices.clone(), Vec::new()));
    let row = move |choice: CoverChoice| {
        let (title, code) = words::cover(choice.profile);
        let price = match (choice.up_a_day, choice.down_a_day) {
            (0, 0) => "no extra data".to_owned(),
            (up, down) => {
                format!("{} up, {} down a day", format::megabytes(up), format::megabytes(down))
            }
        };
        let profile = Some(choice.profile);
        view! {
            <Choice
                group="cover"
                title
                hint=choice.promise
                aside=price
                chosen=is(profile)
                choose=move |()| choose(profile)
                testid=format!("cover-{code}")
            />
        }
    };
    view! {
        <fieldset class="choices" disabled=move || !known.get()>
            <legend>"How much"</legend>
            <Choice
                group="cover"
                title="Let the network decide"
                hint=by_network
                chosen=is(None)
                choose=move |()| choose(None)
                testid="cover-auto".to_owned()
            />
            {move || choices.get().into_iter().map(row).collect_view()}
        </fieldset>
    }
    .into_any()
}

/// Packets over the last ten minutes.
#[component]
fn Chart() -> impl IntoView {
    let network = store().network;
    let points = Memo::new(move |_| network.part(|n| n.history.clone(), Vec::<TrafficPoint>::new()));
    let empty = Memo::new(move |_| points.with(|p| traffic::is_empty(p)));
    let drawing = Memo::new(move |_| points.with(|p| traffic::draw(p)));
    let path = move |f: fn(&Drawing) -> &String| move || drawing.with(|d| f(d).clone());
    let tick = move |share: f64| move || drawing.with(|d| traffic::tick(d.top * share));
    let none = move || {
        if points.with(Vec::is_empty) {
            "The first packets show here after a few seconds."
        } else {
            "No packet was sent or received in the last ten minutes."
        }
    };
    let picture = move || {
        view! {
            <svg
                class="traffic"
                viewBox=format!("0 0 {} {}", traffic::WINDOW, traffic::HEIGHT)
                preserveAspectRatio="none"
                role="img"
                aria-label=move || points.with(|p| traffic::describe(p))
                data-testid="traffic-chart"
            >
                <path class="traffic-grid" d=format!("M0 0H{0}M0 {1}H{0}M0 {2}H{0}", traffic::WINDOW, traffic::HEIGHT / 2.0, traffic::HEIGHT) />
                <path class="traffic-cover" d=path(|d| &d.cover) data-testid="traffic-cover" />
                <path class="traffic-real" d=path(|d| &d.real) data-testid="traffic-real" />
                <path class="traffic-received" d=path(|d| &d.received) />
            </svg>
        }
    };
    view! {
        <figure class="traffic-figure">
            <figcaption>
                <span>"Packets a second"</span>
                <ul class="legend">
                    <li><i class="swatch real"></i>"Real, sent"</li>
                    <li><i class="swatch cover"></i>"Cover, sent"</li>
                    <li><i class="swatch received"></i>"Received"</li>
                </ul>
            </figcaption>
            <div class="traffic-plot">
                <div class="traffic-y" aria-hidden="true">
                    <span>{tick(1.0)}</span>
                    <span>{tick(0.5)}</span>
                    <span>"0"</span>
                </div>
                <Show
                    when=move || !empty.get()
                    fallback=move || {
                        view! {
                            <p class="traffic traffic-none" data-testid="traffic-none">{none}</p>
                        }
                    }
                >
                    {picture()}
                </Show>
                <div class="axis" aria-hidden="true">
                    <span>"10 min ago"</span>
                    <span>"5 min ago"</span>
                    <span>"now"</span>
                </div>
            </div>
        </figure>
    }
    .into_any()
}
