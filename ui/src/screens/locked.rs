//! The secrets are sealed: asks for the passphrase.

use crate::components::{Button, Logo, Look, Notice, TextField};
use crate::core_link::call;
use crate::store::store;
use crate::words::Tone;
use fog_api::Unlock;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// Asks for the passphrase.
#[component]
pub(crate) fn Locked() -> impl IntoView {
    let store = store();
    let passphrase = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let refusal = RwSignal::new(None::<String>);
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        refusal.set(None);
        spawn_local(async move {
            match call(Unlock { passphrase: passphrase.get_untracked() }).await {
                Ok(state) => store.set_app(state),
                Err(error) => refusal.set(Some(error.message)),
            }
            passphrase.set(String::new());
            busy.set(false);
        });
    };
    let greeting = move || {
        let name = store.app.with(|a| a.as_ref().and_then(|a| a.me.as_ref()).map(|m| m.name.clone()));
        name.map_or_else(|| "This node is locked".to_owned(), |name| format!("Welcome back, {name}"))
    };
    view! {
        <main class="gate" data-testid="locked">
            <Logo />
            <h1>{greeting}</h1>
            <p>"Your keys are sealed. Enter the passphrase to open them; until then nothing is sent or received."</p>
            <form class="gate-form" on:submit=submit>
                <TextField
                    label="Passphrase"
                    value=passphrase
                    kind="password"
                    testid="unlock-passphrase"
                    autocomplete="current-password"
                    required=true
                    autofocus=true
                />
                {move || refusal.get().map(|text| view! { <Notice tone=Tone::Bad text testid="unlock-error" /> })}
                <Button
                    label=Signal::derive(move || if busy.get() { "Opening…" } else { "Unlock" }.to_owned())
                    look=Look::Primary
                    busy
                    disabled=Signal::derive(move || passphrase.with(String::is_empty))
                    testid="unlock-submit"
                />
            </form>
        </main>
    }
    .into_any()
}
