//! Small charts.

use crate::chart;
use leptos::prelude::*;

/// A line without axes; `label` says in words what it shows.
#[component]
pub(crate) fn Sparkline(
    #[prop(into)] values: Signal<Vec<f64>>,
    /// The value at the upper edge.
    top: f64,
    #[prop(into)] label: Signal<String>,
) -> impl IntoView {
    view! {
        <svg
            class="sparkline"
            viewBox="0 0 200 40"
            preserveAspectRatio="none"
            role="img"
            aria-label=move || label.get()
        >
            <path class="sparkline-area" d=move || chart::area(&values.get(), top, 200.0, 40.0) />
            <path class="sparkline-line" d=move || chart::line(&values.get(), top, 200.0, 40.0) />
        </svg>
    }
    .into_any()
}

/// Columns from the bottom, one a value; each has a tool tip.
#[component]
pub(crate) fn Bars(
    /// Heights and what to say about them.
    #[prop(into)]
    bars: Signal<Vec<(f64, String)>>,
    #[prop(into)] label: Signal<String>,
) -> impl IntoView {
    let draw = move || {
        let bars = bars.get();
        let top = bars.iter().map(|b| b.0).fold(0.0, f64::max);
        let step = 200.0 / bars.len().max(1) as f64;
        bars.into_iter()
            .enumerate()
            .map(|(i, (value, tip))| {
                // A day with nothing keeps a thin foot, so that it can be seen that there was a day.
                let height = if top > 0.0 { (value / top * 56.0).max(1.5) } else { 1.5 };
                let class = if value > 0.0 { "bar" } else { "bar none" };
                view! {
                    <rect
                        class=class
                        x=format!("{:.2}", i as f64 * step + step * 0.15)
                        y=format!("{:.2}", 60.0 - height)
                        width=format!("{:.2}", step * 0.7)
                        height=format!("{height:.2}")
                    >
                        <title>{tip}</title>
                    </rect>
                }
            })
            .collect_view()
    };
    view! {
        <svg class="bars" viewBox="0 0 200 60" preserveAspectRatio="none" role="img" aria-label=move || label.get()>
            {draw}
        </svg>
    }
    .into_any()
}
