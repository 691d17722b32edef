//! Times that stay true while one looks at them.

use crate::store::store;
use crate::{browser, format};
use leptos::prelude::*;

/// How long ago something was; the full time is in the tool tip.
#[component]
pub(crate) fn Ago(#[prop(into)] time: Signal<f64>, #[prop(optional)] short: bool) -> impl IntoView {
    // A memo: the clock ticks every second, the text changes rarely.
    let text = Memo::new(move |_| {
        let (time, now) = (time.get(), store().now.get());
        if short { format::relative_short(time, now) } else { format::relative(time, now) }
    });
    view! {
        <time class="ago" title=move || browser::date_time(time.get())>
            {move || text.get()}
        </time>
    }
    .into_any()
}

/// A time of day; the full time is in the tool tip.
#[component]
pub(crate) fn Clock(time: f64) -> impl IntoView {
    view! { <time title=browser::date_time(time)>{browser::clock_time(time)}</time> }.into_any()
}
