//! The harvester: what it senses, what it decides, why, and what the owner allows.

mod day;
mod hours;
mod prefs;

use crate::components::{Badge, Button, Card, Loaded, Look, Sparkline, Switch};
use crate::format;
use crate::store::store;
use crate::words::{self, Tone};
use day::Today;
use fog_api::{GetHarvest, HarvestView, PauseHarvest, Sensors, WorkNow};
use hours::Hours;
use leptos::prelude::*;
use prefs::Preferences;

/// State, readings and preferences.
#[component]
pub(super) fn Harvest() -> impl IntoView {
    let harvest = store().harvest;
    view! {
        <Loaded load=harvest.load retry=move |()| harvest.read(GetHarvest {}) lines=5>
            <div class="columns">
                <div class="column">
                    <State />
                    <Today />
                </div>
                <div class="column">
                    <Preferences />
                    <Hours />
                </div>
            </div>
        </Loaded>
    }
    .into_any()
}

#[component]
fn State() -> impl IntoView {
    let store = store();
    let harvest = store.harvest;
    let override_on = Memo::new(move |_| harvest.part(|h| h.override_on, false));
    let load_now = move |h: &HarvestView| match h.sensors.cpu_load {
        Some(load) => format!("CPU in use now: {}", format::percent(load)),
        None => "CPU in use: unknown".into(),
    };
    view! {
        <Card title="This device" testid="harvest">
            <div class="headline">
                <Badge
                    text=Signal::derive(move || harvest.part(|h| words::harvest(h.state).0.into(), String::new()))
                    tone=Signal::derive(move || harvest.part(|h| words::harvest(h.state).1, Tone::Calm))
                    testid="harvest-state"
                />
                <span class="hint">
                    {move || {
                        harvest.part(
                            |h| {
                                if h.allowed {
                                    format!("jobs may use {} of the CPU", format::percent(h.cpu_share))
                                } else {
                                    "jobs may not run".into()
                                }
                            },
                            String::new(),
                        )
                    }}
                </span>
            </div>
            <p class="lead" data-testid="harvest-reason">
                {move || harvest.part(|h| h.reason.clone(), String::new())}
            </p>
            <div class="chart">
                <Sparkline
                    values=Signal::derive(move || harvest.part(|h| h.load_history.clone(), Vec::new()))
                    top=1.0
                    label=Signal::derive(move || harvest.part(load_now, String::new()))
                />
                <p class="axis">
                    <span>"CPU, last minutes"</span>
                    <span>{move || harvest.part(load_now, String::new())}</span>
                </p>
            </div>
            <Readings />
            <Switch
                label="Work now"
                hint="Ignore every condition but heat and an empty battery until you switch this off."
                on=override_on
                set=move |on| store.act(WorkNow { on }, move |view| harvest.put(view))
                testid="work-now"
            />
            <Pause />
        </Card>
    }
    .into_any()
}

/// Lend nothing for a while.
#[component]
fn Pause() -> impl IntoView {
    let store = store();
    let harvest = store.harvest;
    let paused = Memo::new(move |_| harvest.part(|h| h.paused_until.is_some(), false));
    let pause = move |seconds: u32| {
        Callback::new(move |()| store.act(PauseHarvest { seconds }, move |view| harvest.put(view)))
    };
    view! {
        <div class="form-actions">
            <Show
                when=move || paused.get()
                fallback=move || {
                    view! {
                        <Button label="Pause for an hour" look=Look::Quiet on_press=pause(3600) testid="harvest-pause" />
                        <Button label="Pause for a day" look=Look::Quiet on_press=pause(24 * 3600) />
                    }
                }
            >
                <Button label="Go on now" on_press=pause(0) testid="harvest-resume" />
            </Show>
        </div>
    }
    .into_any()
}

const UNKNOWN: &str = "unknown";

/// What the screen tells, and the network, where they tell anything.
fn surroundings(s: &Sensors) -> Option<String> {
    let mut words = Vec::new();
    words.extend(s.screen_off.map(|off| if off { "screen off" } else { "screen on" }));
    words.extend(s.locked.filter(|locked| *locked).map(|_| "locked"));
    words.extend(s.network_metered.map(|m| if m { "metered network" } else { "network not metered" }));
    (!words.is_empty()).then(|| words.join(", "))
}

fn power(s: &Sensors) -> String {
    match (s.has_battery, s.plugged_in) {
        (false, _) => "mains, no battery".into(),
        (true, Some(true)) => "plugged in".into(),
        (true, Some(false)) => "on battery".into(),
        (true, None) => UNKNOWN.into(),
    }
}

#[component]
fn Readings() -> impl IntoView {
    let harvest = store().harvest;
    let row = move |label: &'static str, f: fn(&Sensors) -> Option<String>| {
        let value = Memo::new(move |_| harvest.part(|h| f(&h.sensors), None));
        view! {
            <div class="fact">
                <dt>{label}</dt>
                <dd class:unknown=move || value.with(Option::is_none)>
                    {move || value.get().unwrap_or_else(|| UNKNOWN.into())}
                </dd>
            </div>
        }
    };
    let battery = Memo::new(move |_| harvest.part(|h| h.sensors.has_battery, false));
    let source = Memo::new(move |_| harvest.part(|h| h.sensors.user_idle_source.clone(), String::new()));
    view! {
        <dl class="facts" data-testid="sensors">
            {row("Power", |s| Some(power(s)))}
            {move || {
                battery
                    .get()
                    .then(|| {
                        (
                            row("Charge", |s| s.battery.map(format::percent)),
                            row("Battery heat", |s| s.battery_celsius.map(format::celsius)),
                        )
                    })
            }}
            {row("CPU heat", |s| s.cpu_celsius.map(format::celsius))}
            {row("Other programs", |s| s.others_load.map(|load| format!("{} of the CPU", format::percent(load))))}
            {row("Surroundings", surroundings)}
            {row("Memory", |s| Some(format!("{} of {}", format::bytes(s.memory_used), format::bytes(s.memory_total))))}
            {row("Processors", |s| Some(s.cpus.to_string()))}
            <div class="fact">
                <dt>"Your last input"</dt>
                <dd class:unknown=move || harvest.part(|h| h.sensors.user_idle.is_none(), true)>
                    {move || {
                        harvest.part(
                            |h| match h.sensors.user_idle {
                                Some(idle) if idle < 59.5 => "less than a minute ago".into(),
                                Some(idle) => format!("{} ago", format::rough(idle)),
                                None => UNKNOWN.to_owned(),
                            },
                            String::new(),
                        )
                    }}
                    {move || (!source.with(String::is_empty)).then(|| view! { <small>{source.get()}</small> })}
                </dd>
            </div>
        </dl>
    }
    .into_any()
}
