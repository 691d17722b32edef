//! Copying to the clipboard.

use super::{Button, Glyph, Look};
use crate::browser;
use crate::store::store;
use crate::words::Tone;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// Copies a text, and says so for a moment.
#[component]
pub(crate) fn CopyButton(
    #[prop(into)] text: Signal<String>,
    #[prop(default = "Copy")] label: &'static str,
    #[prop(optional)] look: Look,
) -> impl IntoView {
    let copied = RwSignal::new(false);
    let press = move |()| {
        let text = text.get_untracked();
        spawn_local(async move {
            if !browser::copy(&text).await {
                store().toast(
                    Tone::Warn,
                    "The browser does not allow copying here: mark the text and copy it by hand.",
                );
                return;
            }
            copied.set(true);
            browser::sleep(1_600).await;
            copied.set(false);
        });
    };
    view! {
        <span aria-live="polite">
            <Button
                label=Signal::derive(move || if copied.get() { "Copied".into() } else { label.to_owned() })
                look
                glyph=Glyph::Copy
                on_press=press
            />
        </span>
    }
    .into_any()
}
