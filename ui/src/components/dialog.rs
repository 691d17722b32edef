//! Dialogs.

use super::{Glyph, IconButton};
use leptos::html;
use leptos::prelude::*;

/// A modal dialog. The browser's own element keeps the keyboard inside, closes on Escape and gives the focus back.
/// Its content exists only while it is open.
#[component]
pub(crate) fn Dialog(
    open: RwSignal<bool>,
    #[prop(into)] title: String,
    #[prop(optional)] testid: Option<&'static str>,
    children: ChildrenFn,
) -> impl IntoView {
    let element = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        let Some(dialog) = element.get() else { return };
        if open.get() && !dialog.open() {
            // Fails only for an element outside the document, which a mounted one is not.
            let _ = dialog.show_modal();
        } else if !open.get() && dialog.open() {
            dialog.close();
        }
    });
    let title_for_label = title.clone();
    view! {
        <dialog
            node_ref=element
            class="dialog"
            aria-label=title_for_label
            data-testid=testid
            on:close=move |_| open.set(false)
            on:mousedown=move |e| {
                // A press beside the dialog hits the dialog element itself; inside, it hits its content.
                let this = element.get_untracked().map(|d| -> web_sys::EventTarget { (**d).clone().into() });
                if e.target() == this {
                    open.set(false);
                }
            }
        >
            <Show when=move || open.get()>
                <div class="dialog-body">
                    <header class="dialog-head">
                        <h2>{title.clone()}</h2>
                        <IconButton glyph=Glyph::Close label="Close" on_press=move |()| open.set(false) />
                    </header>
                    {children()}
                </div>
            </Show>
        </dialog>
    }
    .into_any()
}
