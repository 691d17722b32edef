//! Bars: how far something is, or how large a share.

use crate::format;
use crate::words::Tone;
use leptos::prelude::*;

/// A bar from 0 to 1, with an optional mark (a threshold).
#[component]
pub(crate) fn Meter(
    label: &'static str,
    #[prop(into)] share: Signal<f64>,
    #[prop(default = Tone::Active)] tone: Tone,
    #[prop(optional, into)] mark: Signal<Option<f64>>,
) -> impl IntoView {
    let width = move || format!("{:.2}", share.get().clamp(0.0, 1.0) * 100.0);
    view! {
        <div
            class=format!("meter {}", tone.class())
            role="meter"
            aria-label=label
            aria-valuemin="0"
            aria-valuemax="100"
            aria-valuenow=move || format!("{:.0}", share.get().clamp(0.0, 1.0) * 100.0)
            aria-valuetext=move || format::percent(share.get())
        >
            <div class="meter-fill" style:width=move || format!("{}%", width())></div>
            {move || {
                mark.get()
                    .map(|at| {
                        view! { <div class="meter-mark" style:left=format!("{:.2}%", at.clamp(0.0, 1.0) * 100.0)></div> }
                    })
            }}
        </div>
    }
    .into_any()
}
