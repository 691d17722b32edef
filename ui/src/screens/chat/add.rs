//! Adding somebody by their card.

use crate::components::{Button, Dialog, Look, Notice, TextArea};
use crate::core_link::call;
use crate::route::Route;
use crate::store::store;
use crate::words::Tone;
use fog_api::AddContact as Add;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// A dialog into which a card is pasted.
#[component]
pub(super) fn AddContact(open: RwSignal<bool>) -> impl IntoView {
    let store = store();
    let card = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let refusal = RwSignal::new(None::<String>);
    Effect::new(move |_| {
        if open.get() {
            card.set(String::new());
            refusal.set(None);
        }
    });
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        let card = card.get_untracked().trim().to_owned();
        if card.is_empty() || busy.get_untracked() {
            return;
        }
        busy.set(true);
        refusal.set(None);
        spawn_local(async move {
            match call(Add { card }).await {
                Ok(contact) => {
                    open.set(false);
                    store.go(&Route::Chat(Some(contact.id.clone())));
                    store.contacts.put(contact);
                }
                Err(error) => refusal.set(Some(error.message)),
            }
            busy.set(false);
        });
    };
    view! {
        <Dialog open title="Add a contact" testid="add-contact-dialog">
            <form class="form" on:submit=submit>
                <p>
                    "Paste the card that somebody gave you. They see that you would like to reach them, and can accept or block."
                </p>
                <TextArea
                    label="Card"
                    value=card
                    rows=5
                    hint="Compare the fingerprint with them afterwards, aloud or face to face."
                    testid="card-text"
                    placeholder="Paste the card here"
                    required=true
                    code=true
                />
                {move || refusal.get().map(|text| view! { <Notice tone=Tone::Bad text testid="card-error" /> })}
                <footer class="dialog-actions">
                    <Button label="Cancel" look=Look::Quiet on_press=move |()| open.set(false) />
                    <Button
                        label="Add"
                        look=Look::Primary
                        busy
                        disabled=Signal::derive(move || card.with(|c| c.trim().is_empty()))
                        testid="card-submit"
                    />
                </footer>
            </form>
        </Dialog>
    }
    .into_any()
}
