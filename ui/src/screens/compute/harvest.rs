//! The harvester: what it senses, what it decides, why, and what the owner allows.

use crate::components::{Badge, Button, Card, Loaded, Look, Sparkline, Switch, TextField};
use crate::format;
use crate::store::store;
use crate::words::{self, Tone};
use fog_api::{GetHarvest, HarvestPrefs, HarvestView, Sensors, SetHarvest, WorkNow};
use leptos::prelude::*;

/// State, readings and preferences.
#[component]
pub(super) fn Harvest() -> impl IntoView {
    let harvest = store().harvest;
    view! {
        <Loaded load=harvest.load retry=move |()| harvest.read(GetHarvest {}) lines=5>
            <div class="columns">
                <State />
                <Preferences />
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
                hint="Ignore every condition but heat until you switch this off."
                on=override_on
                set=move |on| store.act(WorkNow { on }, move |view| harvest.put(view))
                testid="work-now"
            />
        </Card>
    }
    .into_any()
}

const UNKNOWN: &str = "unknown";

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

#[component]
fn Preferences() -> impl IntoView {
    let store = store();
    let harvest = store.harvest;
    let saved = Memo::new(move |_| harvest.part(|h| h.prefs.clone(), HarvestPrefs::default()));
    let set = move |change: &dyn Fn(&mut HarvestPrefs)| {
        let mut prefs = saved.get_untracked();
        change(&mut prefs);
        store.act(SetHarvest { prefs }, move |view| harvest.put(view));
    };
    let enabled = Memo::new(move |_| saved.with(|p| p.enabled));
    let off = Signal::derive(move || !enabled.get());

    let number = |value: u32| RwSignal::new(value.to_string());
    let start = saved.get_untracked();
    let (idle, cpu, memory) =
        (number(start.idle_minutes), number(start.cpu_percent), number(start.memory_percent));
    // When somebody else changed a number, the field follows.
    Effect::new(move |_| {
        let p = saved.get();
        idle.set(p.idle_minutes.to_string());
        cpu.set(p.cpu_percent.to_string());
        memory.set(p.memory_percent.to_string());
    });
    let read = move || -> Option<(u32, u32, u32)> {
        let parse = |s: RwSignal<String>, max: u32| s.get().trim().parse().ok().filter(|n| *n <= max);
        Some((parse(idle, 24 * 60)?, parse(cpu, 100)?, parse(memory, 100)?))
    };
    let changed = Memo::new(move |_| {
        let p = saved.get();
        read().is_none_or(|n| n != (p.idle_minutes, p.cpu_percent, p.memory_percent))
    });
    let wrong = Memo::new(move |_| read().is_none());
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if let Some((idle_minutes, cpu_percent, memory_percent)) = untrack(read) {
            set(&move |p| {
                p.idle_minutes = idle_minutes;
                p.cpu_percent = cpu_percent;
                p.memory_percent = memory_percent;
            });
        }
    };
    view! {
        <Card title="When it may work">
            <Switch
                label="Lend this device"
                hint="Others' jobs run here while you do not need it, and you are paid for them."
                on=enabled
                set=move |on| set(&move |p| p.enabled = on)
                testid="harvest-enabled"
            />
            <Switch
                label="Also on battery"
                hint="At 50 % charge or more."
                on=Signal::derive(move || saved.with(|p| p.on_battery))
                set=move |on| set(&move |p| p.on_battery = on)
                disabled=off
                testid="harvest-on-battery"
            />
            <Switch
                label="Also while I use it"
                hint="Otherwise work stops as soon as you touch it."
                on=Signal::derive(move || saved.with(|p| p.alongside))
                set=move |on| set(&move |p| p.alongside = on)
                disabled=off
                testid="harvest-alongside"
            />
            <form class="form numbers" on:submit=submit>
                <TextField label="Idle minutes" value=idle kind="number" min=0 max=1440 testid="harvest-idle" />
                <TextField label="CPU at most, %" value=cpu kind="number" min=1 max=100 testid="harvest-cpu" />
                <TextField label="Memory at most, %" value=memory kind="number" min=1 max=100 testid="harvest-memory" />
                <Show when=move || changed.get()>
                    <Button label="Save" look=Look::Primary disabled=wrong testid="harvest-save" />
                </Show>
            </form>
        </Card>
    }
    .into_any()
}
