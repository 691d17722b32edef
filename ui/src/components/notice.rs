//! A sentence that stands out from the text around it.

use super::{Glyph, Icon};
use crate::words::Tone;
use leptos::prelude::*;

/// A note in a box: why something failed, or what to know before going on.
#[component]
pub(crate) fn Notice(
    tone: Tone,
    #[prop(into)] text: Signal<String>,
    #[prop(optional)] testid: Option<&'static str>,
) -> impl IntoView {
    let glyph = if matches!(tone, Tone::Warn | Tone::Bad) { Glyph::Alert } else { Glyph::Info };
    view! {
        <p
            class=format!("notice {}", tone.class())
            role=(tone == Tone::Bad).then_some("alert")
            data-testid=testid
        >
            <Icon glyph />
            <span>{move || text.get()}</span>
        </p>
    }
    .into_any()
}
