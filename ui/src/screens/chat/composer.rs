//! Where messages are written.

use crate::components::{Glyph, Icon};
use crate::core_link::call;
use crate::store::store;
use fog_api::SendMessage;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// The longest text that a message may have, bytes.
const MAX_BYTES: usize = 64 * 1024;
/// The field grows with its text up to this height, pixels.
const MAX_HEIGHT: i32 = 180;

/// A field and a button; Enter sends, Shift and Enter begins a new line.
#[component]
pub(super) fn Composer(peer: String) -> impl IntoView {
    let store = store();
    let draft = store.thread(&peer).draft;
    let field = NodeRef::<html::Textarea>::new();
    let too_long = Memo::new(move |_| draft.with(|d| d.len() > MAX_BYTES));
    let empty = Memo::new(move |_| draft.with(|d| d.trim().is_empty()));

    // On touch screens the keyboard would cover the conversation as soon as it opens.
    let touch = window().match_media("(pointer: coarse)").ok().flatten().is_some_and(|m| m.matches());
    Effect::new(move |_| {
        if let Some(field) = field.get()
            && !touch
        {
            let _ = field.focus();
        }
    });
    Effect::new(move |_| {
        draft.track();
        let Some(field) = field.get() else { return };
        request_animation_frame(move || {
            let style = web_sys::HtmlElement::style(&field);
            let _ = style.set_property("height", "auto");
            let _ = style.set_property("height", &format!("{}px", field.scroll_height().min(MAX_HEIGHT) + 2));
        });
    });

    let send = move || {
        let text = draft.get_untracked().trim().to_owned();
        if text.is_empty() || text.len() > MAX_BYTES {
            return;
        }
        draft.set(String::new());
        let peer = peer.clone();
        spawn_local(async move {
            match call(SendMessage { peer, text: text.clone() }).await {
                Ok(message) => store.put_message(message),
                Err(error) => {
                    // Nothing that was written is lost: it comes back, before what was begun meanwhile.
                    draft.update(|d| *d = if d.is_empty() { text } else { format!("{text}\n{d}") });
                    store.complain(&error);
                }
            }
        });
    };
    let send_by_key = send.clone();
    view! {
        <form
            class="composer"
            on:submit=move |e| {
                e.prevent_default();
                send();
            }
        >
            <textarea
                node_ref=field
                class="input"
                rows="1"
                placeholder="Write a message"
                aria-label="Message"
                data-composer=""
                data-testid="composer"
                enterkeyhint="send"
                prop:value=move || draft.get()
                on:input=move |e| draft.set(event_target_value(&e))
                on:keydown=move |e| {
                    if e.key() == "Enter" && !e.shift_key() && !e.is_composing() {
                        e.prevent_default();
                        send_by_key();
                    }
                }
            ></textarea>
            <button
                type="submit"
                class="button primary send"
                aria-label="Send"
                title="Send (Enter)"
                disabled=move || empty.get() || too_long.get()
                data-testid="send"
            >
                <Icon glyph=Glyph::Send />
            </button>
            <Show when=move || too_long.get()>
                <p class="composer-note" role="alert">"A message can have at most 64 KiB."</p>
            </Show>
        </form>
    }
    .into_any()
}
