//! The hours of the week, a line for each day.

use crate::components::{Button, Card, Look, Switch, TextField};
use crate::hours::{DAYS, from_lines, to_lines};
use crate::store::store;
use fog_api::{HarvestPrefs, SetHarvest, WeekHours};
use leptos::prelude::*;

const MARKS: [&str; 7] = [
    "harvest-hours-0",
    "harvest-hours-1",
    "harvest-hours-2",
    "harvest-hours-3",
    "harvest-hours-4",
    "harvest-hours-5",
    "harvest-hours-6",
];

/// Always, or only at certain hours.
#[component]
pub(super) fn Hours() -> impl IntoView {
    let store = store();
    let harvest = store.harvest;
    let saved = Memo::new(move |_| harvest.part(|h| h.prefs.clone(), HarvestPrefs::default()));
    let lines: [RwSignal<String>; 7] = std::array::from_fn(|_| RwSignal::new(String::new()));
    let only = RwSignal::new(false);
    // When the hours changed elsewhere, the lines follow.
    let hours = Memo::new(move |_| saved.with(|p| p.hours.clone()));
    Effect::new(move |_| {
        let hours = hours.get();
        only.set(hours != WeekHours::default());
        for (line, text) in lines.iter().zip(to_lines(&hours)) {
            line.set(text);
        }
    });
    let save = move |hours: WeekHours| {
        let prefs = HarvestPrefs { hours, ..saved.get_untracked() };
        store.act(SetHarvest { prefs }, move |view| harvest.put(view));
    };
    let written =
        Memo::new(move |_| from_lines(&std::array::from_fn(|i| lines[i].get())).map_err(|e| e.to_string()));
    let trouble = move || match written.get() {
        Err(trouble) => Some(trouble),
        Ok(hours) if hours == WeekHours::default() => Some("Write the hours of one day at least.".into()),
        Ok(_) => None,
    };
    let changed = Memo::new(move |_| written.get().as_ref() != Ok(&hours.get()));
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if untrack(trouble).is_none()
            && let Ok(hours) = written.get_untracked()
        {
            save(hours);
        }
    };
    view! {
        <Card title="Hours">
            <Switch
                label="Only at certain hours"
                hint="By the clock of this device. Otherwise at any time."
                on=only
                set=move |on| {
                    only.set(on);
                    if !on {
                        save(WeekHours::default());
                    } else if hours.get_untracked() == WeekHours::default() {
                        for line in lines {
                            line.set("22:00-07:00".into());
                        }
                    }
                }
                testid="harvest-hours-on"
            />
            <Show when=move || only.get()>
                <form class="form numbers" on:submit=submit>
                    {(0..7)
                        .map(|day| {
                            view! { <TextField label=DAYS[day] value=lines[day] placeholder="not at all" testid=MARKS[day] /> }
                        })
                        .collect_view()}
                    <Show when=move || changed.get()>
                        <Button
                            label="Save the hours"
                            look=Look::Primary
                            disabled=Signal::derive(move || trouble().is_some())
                            testid="harvest-hours-save"
                        />
                    </Show>
                </form>
                <p class="hint" data-testid="harvest-hours-error" role="status">
                    {move || {
                        trouble()
                            .unwrap_or_else(|| {
                                "Hours that end before they begin go on into the next morning: 22-7. Several have commas between them.".into()
                            })
                    }}
                </p>
            </Show>
        </Card>
    }
    .into_any()
}
