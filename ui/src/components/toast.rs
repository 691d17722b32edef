//! Short messages at the edge of the page.

use super::{Glyph, Icon, IconButton};
use crate::store::store;
use crate::words::Tone;
use leptos::prelude::*;

/// All short messages; screen readers read new ones aloud.
#[component]
pub(crate) fn Toasts() -> impl IntoView {
    let toasts = store().toasts;
    view! {
        <div class="toasts" role="status" aria-live="polite">
            <For
                each=move || toasts.get()
                key=|toast| toast.id
                children=|toast| {
                    let glyph = match toast.tone {
                        Tone::Good => Glyph::Check,
                        Tone::Warn | Tone::Bad => Glyph::Alert,
                        Tone::Calm | Tone::Active => Glyph::Info,
                    };
                    view! {
                        <div class=format!("toast {}", toast.tone.class()) data-testid="toast">
                            <Icon glyph />
                            <p>{toast.text}</p>
                            <IconButton
                                glyph=Glyph::Close
                                label="Dismiss"
                                on_press=move |()| store().dismiss(toast.id)
                            />
                        </div>
                    }
                }
            />
        </div>
    }
    .into_any()
}
