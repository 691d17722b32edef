//! The first page: how everything is, and the way to each place.

use crate::components::{Badge, Glyph, Icon, Loaded, Page, TestNetwork};
use crate::format;
use crate::route::Route;
use crate::store::store;
use crate::words::{self, Tone};
use fog_api::{GetOverview, Overview as Figures};
use leptos::prelude::*;

/// Cards that lead to the screens.
#[component]
pub(crate) fn Overview() -> impl IntoView {
    let store = store();
    store.overview.read(GetOverview {});
    // Uptime and memory change without an event.
    let reading = set_interval_with_handle(
        move || {
            if crate::browser::visible() {
                store.overview.refresh(GetOverview {});
            }
        },
        std::time::Duration::from_secs(10),
    );
    on_cleanup(move || {
        if let Ok(reading) = reading {
            reading.clear();
        }
    });
    let title = Signal::derive(move || {
        let name = store.app.with(|a| a.as_ref().and_then(|a| a.me.as_ref()).map(|m| m.name.clone()));
        name.map_or_else(|| "Overview".into(), |name| format!("Hello, {name}"))
    });
    view! {
        <Page title testid="overview">
            <Loaded load=store.overview.load retry=move |()| store.overview.read(GetOverview {}) lines=6>
                <Tiles />
            </Loaded>
        </Page>
    }
    .into_any()
}

#[component]
fn Tiles() -> impl IntoView {
    let overview = store().overview;
    let text = move |f: fn(&Figures) -> String| Signal::derive(move || overview.part(f, String::new()));
    let tone = move |f: fn(&Figures) -> Tone| Signal::derive(move || overview.part(f, Tone::Calm));
    let test = Memo::new(move |_| overview.part(|o| o.test_network, false));
    view! {
        <div class="tiles">
            <Tile
                to=Route::Chat(None)
                glyph=Glyph::Chat
                title="Chat"
                big=text(|o| match o.unread {
                    0 => "No unread messages".into(),
                    n => format::plural(u64::from(n), "unread message", "unread messages"),
                })
                small=text(|o| match o.contacts {
                    0 => "No contacts yet. Add one by their card.".into(),
                    n => format::plural(u64::from(n), "contact", "contacts"),
                })
                testid="tile-chat"
            />
            <Tile
                to=Route::Circuits(None)
                glyph=Glyph::Circuits
                title="Circuits"
                big=text(|o| words::network(o.network).0.into())
                small=text(|o| o.network_reason.clone())
                extra=ViewFn::from(move || test.get().then(|| view! { <TestNetwork /> }))
                testid="tile-circuits"
            />
            <Tile
                to=Route::Compute
                glyph=Glyph::Compute
                title="Compute"
                badge=(text(|o| words::harvest(o.harvest).0.into()), tone(|o| words::harvest(o.harvest).1))
                big=text(|o| match o.jobs_running {
                    0 => "No job runs here".into(),
                    n => format!("{} here", format::plural(u64::from(n), "job runs", "jobs run")),
                })
                small=text(|o| o.harvest_reason.clone())
                testid="tile-compute"
            />
            <Tile
                to=Route::Earnings
                glyph=Glyph::Earnings
                title="Earnings"
                big=text(|o| format::fog(o.balance))
                small=text(|o| {
                    if o.earned_today.0 == 0 {
                        "Nothing earned today.".into()
                    } else {
                        format!("{} earned today", format::fog(o.earned_today))
                    }
                })
                testid="tile-earnings"
            />
            <Tile
                to=Route::Governance
                glyph=Glyph::Governance
                title="Governance"
                big=text(|o| match o.open_votes {
                    0 => "Nothing to vote on".into(),
                    n => format!("{} for your vote", format::plural(u64::from(n), "proposal waits", "proposals wait")),
                })
                small=text(|o| if o.open_votes == 0 { "You have voted on everything that is open.".into() } else { "A vote can be changed until it ends.".into() })
                testid="tile-governance"
            />
        </div>
        <p class="footline" data-testid="node-facts">
            {move || {
                overview.part(
                    |o| {
                        format!(
                            "This node has run for {} and uses {} of memory. {} done so far.",
                            format::duration(o.uptime),
                            format::bytes(o.memory),
                            format::plural(u64::from(o.jobs_done), "job", "jobs"),
                        )
                    },
                    String::new(),
                )
            }}
        </p>
    }
    .into_any()
}

#[component]
fn Tile(
    to: Route,
    glyph: Glyph,
    title: &'static str,
    big: Signal<String>,
    small: Signal<String>,
    #[prop(optional)] badge: Option<(Signal<String>, Signal<Tone>)>,
    #[prop(optional, into)] extra: Option<ViewFn>,
    testid: &'static str,
) -> impl IntoView {
    view! {
        <a class="tile" href=to.href() data-testid=testid>
            <span class="tile-head">
                <Icon glyph />
                <span class="tile-title">{title}</span>
                {badge.map(|(text, tone)| view! { <Badge text tone /> })}
            </span>
            <strong>{move || big.get()}</strong>
            <span class="tile-small">{move || small.get()}</span>
            {extra.map(|extra| extra.run())}
        </a>
    }
    .into_any()
}
