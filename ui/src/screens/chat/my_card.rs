//! My own card, for others to add me.

use crate::components::{CopyButton, Dialog, Loaded, Look, TestNetwork};
use crate::keyed::Single;
use crate::store::store;
use fog_api::{CardView, GetCard};
use leptos::prelude::*;

/// A dialog with the card as a QR code and as text.
#[component]
pub(super) fn MyCard(open: RwSignal<bool>) -> impl IntoView {
    let card = Single::<CardView>::new();
    // The way to reach me may change, so the card is read whenever it is shown.
    Effect::new(move |_| {
        if open.get() {
            card.read(GetCard {});
        }
    });
    view! {
        <Dialog open title="My card" testid="my-card-dialog">
            <Loaded load=card.load retry=move |()| card.read(GetCard {}) lines=5>
                <Body card />
            </Loaded>
        </Dialog>
    }
    .into_any()
}

#[component]
fn Body(card: Single<CardView>) -> impl IntoView {
    let text = Signal::derive(move || card.part(|c| c.text.clone(), String::new()));
    let picture = move || {
        let svg = card.part(|c| c.qr_svg.clone(), String::new());
        format!("data:image/svg+xml,{}", String::from(js_sys::encode_uri_component(&svg)))
    };
    let fingerprint =
        move || store().app.with(|a| a.as_ref().and_then(|a| a.me.as_ref()).map(|m| m.fingerprint.clone()));
    let select = |e: leptos::ev::FocusEvent| event_target::<web_sys::HtmlTextAreaElement>(&e).select();
    view! {
        <div class="my-card">
            <p>"Let somebody scan this, or send them the text. With it they can ask to reach you; it holds no secret."</p>
            <Show
                when=move || card.part(|c| !c.qr_svg.is_empty(), false)
                fallback=|| view! { <p class="hint">"This card is too long for a QR code; send the text."</p> }
            >
                <img class="qr" src=picture alt="Your card as a QR code" width="380" height="380" />
            </Show>
            {move || card.part(|c| c.test_network, false).then(|| view! { <TestNetwork /> })}
            <textarea
                class="input code"
                rows="3"
                readonly
                aria-label="Your card as text"
                data-testid="my-card-text"
                prop:value=move || text.get()
                on:focus=select
            ></textarea>
            <p class="hint">"Fingerprint: " <code>{fingerprint}</code></p>
            <footer class="dialog-actions">
                <CopyButton text label="Copy card" look=Look::Primary />
            </footer>
        </div>
    }
    .into_any()
}
