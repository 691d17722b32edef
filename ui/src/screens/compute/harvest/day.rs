//! What today's lending came to.

use crate::components::{Bars, Card, Fact};
use crate::format;
use crate::store::store;
use fog_api::{HarvestDay, HarvestView};
use leptos::prelude::*;

/// Hours, energy, cost and pay of today, and the days before as bars.
#[component]
pub(super) fn Today() -> impl IntoView {
    let harvest = store().harvest;
    let fact = move |f: fn(&HarvestView) -> String| Signal::derive(move || harvest.part(f, String::new()));
    let bars = Signal::derive(move || {
        let bar = |d: &HarvestDay| {
            (d.worked_seconds / 3600.0, format!("{}: {} of work", d.date, format::duration(d.worked_seconds)))
        };
        harvest.part(|h| h.days.iter().chain([&h.today]).map(bar).collect(), Vec::new())
    });
    let guess = Signal::derive(move || {
        harvest.part(
            |h| {
                let p = &h.power;
                let how = if p.guessed { "a guess for this kind of device" } else { "as you measured it" };
                Some(format!(
                    "{:.0} W at rest and {:.0} W more when fully used, {how}",
                    p.idle_watts, p.busy_watts
                ))
            },
            None,
        )
    });
    view! {
        <Card title="Today" testid="harvest-today">
            <dl class="facts">
                <Fact label="Worked" value=fact(|h| format::duration(h.today.worked_seconds)) testid="harvest-worked" />
                <Fact label="CPU time" value=fact(|h| format::duration(h.today.cpu_seconds)) />
                <Fact label="Earned" value=fact(|h| format!("{} FOG", format::fog(h.today.earned))) testid="harvest-earned" />
                <Fact
                    label="Energy for jobs"
                    value=fact(|h| format!("about {:.1} Wh", h.today.jobs_wh))
                    hint=guess
                    testid="harvest-energy"
                />
                <Fact
                    label="Its cost"
                    value=fact(|h| {
                        h.today.cost.map_or_else(|| "no price is set".into(), |cost| format!("about {cost:.3}"))
                    })
                    testid="harvest-cost"
                />
            </dl>
            <Show when=move || harvest.part(|h| !h.days.is_empty(), false)>
                <Bars bars=bars label="Hours of work on the last days" />
            </Show>
        </Card>
    }
    .into_any()
}
