//! What the owner allows: a mode, switches, and numbers.

use crate::components::{Button, Card, Choice, Look, Switch, TextField};
use crate::core_link;
use crate::store::store;
use fog_api::{HarvestMode, HarvestPrefs, SetHarvest, SetHarvestMode};
use leptos::prelude::*;
use leptos::task::spawn_local;

/// The fields with numbers, as text.
#[derive(Clone, Copy)]
struct Numbers {
    idle: RwSignal<String>,
    cpu: RwSignal<String>,
    memory: RwSignal<String>,
    start: RwSignal<String>,
    stop: RwSignal<String>,
    grace: RwSignal<String>,
    others: RwSignal<String>,
    exclusive: RwSignal<String>,
    price: RwSignal<String>,
    idle_watts: RwSignal<String>,
    busy_watts: RwSignal<String>,
}

impl Numbers {
    fn new() -> Self {
        let [idle, cpu, memory, start, stop, grace, others, exclusive, price, idle_watts, busy_watts] =
            std::array::from_fn(|_| RwSignal::new(String::new()));
        Self { idle, cpu, memory, start, stop, grace, others, exclusive, price, idle_watts, busy_watts }
    }

    fn put(self, p: &HarvestPrefs) {
        let optional = |n: Option<f64>| n.map_or_else(String::new, |n| n.to_string());
        for (field, text) in [
            (self.idle, p.idle_minutes.to_string()),
            (self.cpu, p.cpu_percent.to_string()),
            (self.memory, p.memory_percent.to_string()),
            (self.start, p.battery_start.to_string()),
            (self.stop, p.battery_stop.to_string()),
            (self.grace, p.grace_seconds.to_string()),
            (self.others, p.others_percent.to_string()),
            (self.exclusive, p.exclusive.join(", ")),
            (self.price, optional(p.price_per_kwh)),
            (self.idle_watts, optional(p.idle_watts)),
            (self.busy_watts, optional(p.busy_watts)),
        ] {
            field.set(text);
        }
    }

    /// The preferences with these numbers, or which field means none.
    fn read(self, base: &HarvestPrefs) -> Result<HarvestPrefs, &'static str> {
        let whole =
            |field: RwSignal<String>, name: &'static str| field.get().trim().parse::<u32>().map_err(|_| name);
        let optional = |field: RwSignal<String>, name: &'static str| {
            let text = field.get().trim().replace(',', ".");
            if text.is_empty() { Ok(None) } else { text.parse::<f64>().map(Some).map_err(|_| name) }
        };
        let names = self.exclusive.get();
        Ok(HarvestPrefs {
            idle_minutes: whole(self.idle, "The idle time is a whole number of minutes.")?,
            cpu_percent: whole(self.cpu, "The processor's cap is a whole number of percent.")?,
            memory_percent: whole(self.memory, "The memory's cap is a whole number of percent.")?,
            battery_start: whole(self.start, "The charge to start at is a whole number of percent.")?,
            battery_stop: whole(self.stop, "The charge to stop at is a whole number of percent.")?,
            grace_seconds: whole(self.grace, "The grace time is a whole number of seconds.")?,
            others_percent: whole(self.others, "Other programs' share is a whole number of percent.")?,
            exclusive: names.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect(),
            price_per_kwh: optional(self.price, "The price is a number, or nothing.")?,
            idle_watts: optional(self.idle_watts, "Watts are a number, or nothing.")?,
            busy_watts: optional(self.busy_watts, "Watts are a number, or nothing.")?,
            ..base.clone()
        })
    }
}

/// When this device may work, and how much.
#[component]
pub(super) fn Preferences() -> impl IntoView {
    let store = store();
    let harvest = store.harvest;
    let saved = Memo::new(move |_| harvest.part(|h| h.prefs.clone(), HarvestPrefs::default()));
    let mode = Memo::new(move |_| harvest.part(|h| h.mode, None));
    let put = move |prefs: HarvestPrefs| store.act(SetHarvest { prefs }, move |view| harvest.put(view));
    let set = move |change: &dyn Fn(&mut HarvestPrefs)| {
        let mut prefs = saved.get_untracked();
        change(&mut prefs);
        put(prefs);
    };
    let enabled = Memo::new(move |_| saved.with(|p| p.enabled));
    let off = Signal::derive(move || !enabled.get());
    let choice = move |which: HarvestMode, title: &'static str, hint: &'static str, testid: &'static str| {
        view! {
            <Choice
                group="harvest-mode"
                title
                hint=Signal::derive(move || hint.to_owned())
                chosen=Signal::derive(move || mode.get() == Some(which))
                choose=move |()| store.act(SetHarvestMode { mode: which }, move |view| harvest.put(view))
                testid=testid.to_owned()
            />
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
            <Autostart />
            <fieldset class="choices three">
                <legend>
                    {move || if mode.get().is_some() { "How much" } else { "How much: your own settings, see below" }}
                </legend>
                {choice(HarvestMode::Conservative, "Little", "After 15 minutes, quietly, a quarter of the CPU.", "harvest-mode-conservative")}
                {choice(HarvestMode::Balanced, "Balanced", "After 5 minutes, half of the CPU.", "harvest-mode-balanced")}
                {choice(HarvestMode::Aggressive, "Much", "Also beside you and on battery, 80 % of the CPU.", "harvest-mode-aggressive")}
            </fieldset>
            <Switch
                label="Also on battery"
                hint="While the charge is above the marks below."
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
            <Switch
                label="Also over a metered network"
                hint="One that costs by volume, such as a phone's."
                on=Signal::derive(move || saved.with(|p| p.metered))
                set=move |on| set(&move |p| p.metered = on)
                disabled=off
                testid="harvest-metered"
            />
            <Switch
                label="Quietly"
                hint="Held near 55 °C, and at most a quarter of the CPU, so that the fan stays low."
                on=Signal::derive(move || saved.with(|p| p.quiet))
                set=move |on| set(&move |p| p.quiet = on)
                disabled=off
                testid="harvest-quiet"
            />
            <NumbersForm saved put />
        </Card>
    }
    .into_any()
}

/// `before` as it would be if only switches and hours, which are not in the form, had changed to `now`'s.
fn with_switches_of(before: &HarvestPrefs, now: &HarvestPrefs) -> HarvestPrefs {
    HarvestPrefs {
        enabled: now.enabled,
        on_battery: now.on_battery,
        alongside: now.alongside,
        metered: now.metered,
        quiet: now.quiet,
        hours: now.hours.clone(),
        ..before.clone()
    }
}

#[component]
fn NumbersForm(saved: Memo<HarvestPrefs>, put: impl Fn(HarvestPrefs) + Copy + 'static) -> impl IntoView {
    let numbers = Numbers::new();
    numbers.put(&saved.get_untracked());
    // When a number changed elsewhere, the fields follow. What is typed and not saved outlives a switch beside it.
    Effect::new(move |before: Option<HarvestPrefs>| {
        let now = saved.get();
        let moved = |before: &HarvestPrefs| with_switches_of(before, &now) != now;
        if before.as_ref().is_none_or(moved) {
            numbers.put(&now);
        }
        now
    });
    let read = Memo::new(move |_| numbers.read(&saved.get()));
    let changed = Memo::new(move |_| read.get().as_ref() != Ok(&saved.get()));
    let trouble = move || read.with(|read| read.as_ref().err().copied());
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if let Ok(prefs) = read.get_untracked() {
            put(prefs);
        }
    };
    view! {
        <form class="form numbers" on:submit=submit>
            <TextField label="Idle minutes" value=numbers.idle kind="number" min=0 max=1440 testid="harvest-idle" />
            <TextField label="CPU at most, %" value=numbers.cpu kind="number" min=1 max=100 testid="harvest-cpu" />
            <TextField label="Memory at most, %" value=numbers.memory kind="number" min=1 max=100 testid="harvest-memory" />
            <TextField label="On battery from, %" value=numbers.start kind="number" min=1 max=100 testid="harvest-battery-start" />
            <TextField label="On battery down to, %" value=numbers.stop kind="number" min=0 max=99 testid="harvest-battery-stop" />
            <TextField label="Grace time, s" value=numbers.grace kind="number" min=0 max=3600 testid="harvest-grace" />
            <TextField label="Others' CPU at most, %" value=numbers.others kind="number" min=0 max=100 testid="harvest-others" />
            <TextField label="Not while these run" value=numbers.exclusive placeholder="blender, steam" testid="harvest-exclusive" />
            <TextField label="Price of a kWh" value=numbers.price placeholder="none" testid="harvest-price" />
            <TextField label="Watts at rest" value=numbers.idle_watts placeholder="guessed" testid="harvest-idle-watts" />
            <TextField label="Watts more at full use" value=numbers.busy_watts placeholder="guessed" testid="harvest-busy-watts" />
            <Show when=move || changed.get()>
                <Button
                    label="Save"
                    look=Look::Primary
                    disabled=Signal::derive(move || trouble().is_some())
                    testid="harvest-save"
                />
            </Show>
        </form>
        <p class="hint" data-testid="harvest-prefs-error" role="status">
            {move || trouble().unwrap_or("Others' CPU: work waits while other programs use more; 0 lets them be.")}
        </p>
    }
    .into_any()
}

/// Starting with the computer; only where there is an app to start.
#[component]
fn Autostart() -> impl IntoView {
    let store = store();
    let state = RwSignal::new(None::<bool>);
    spawn_local(async move {
        match core_link::autostart().await {
            Some(Ok(on)) => state.set(Some(on)),
            Some(Err(e)) => store.complain(&e),
            None => {}
        }
    });
    let set = move |on: bool| {
        spawn_local(async move {
            match core_link::set_autostart(on).await {
                Some(Ok(on)) => state.set(Some(on)),
                Some(Err(e)) => store.complain(&e),
                None => {}
            }
        });
    };
    view! {
        <Show when=move || state.get().is_some()>
            <Switch
                label="Start with the computer"
                hint="In the background, with an icon among the system's."
                on=Signal::derive(move || state.get() == Some(true))
                set
                testid="harvest-autostart"
            />
        </Show>
    }
    .into_any()
}
