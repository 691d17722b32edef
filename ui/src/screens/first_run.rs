//! The first run: a name, and an identity is made.

use crate::components::{Button, Logo, Look, Notice, TextField};
use crate::core_link::call;
use crate::store::store;
use crate::words::Tone;
use fog_api::CreateIdentity;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// Asks for a name.
#[component]
pub(crate) fn FirstRun() -> impl IntoView {
    let store = store();
    let name = RwSignal::new(String::new());
    let busy = RwSignal::new(false);
    let refusal = RwSignal::new(None::<String>);
    let submit = move |e: leptos::ev::SubmitEvent| {
        e.prevent_default();
        let name = name.get_untracked().trim().to_owned();
        if name.is_empty() || busy.get_untracked() {
            return;
        }
        busy.set(true);
        spawn_local(async move {
            match call(CreateIdentity { name }).await {
                Ok(state) => store.set_app(state),
                Err(error) => refusal.set(Some(error.message)),
            }
            busy.set(false);
        });
    };
    view! {
        <main class="gate" data-testid="first-run">
            <Logo />
            <h1>"Welcome to Fog Compute"</h1>
            <p>
                "Chat privately, lend your idle computer, and have a say in the rules. All of it runs on this device; there is no account to open."
            </p>
            <form class="gate-form" on:submit=submit>
                <TextField
                    label="Your name"
                    value=name
                    hint="Your contacts see it. You can change it later."
                    testid="first-run-name"
                    autocomplete="nickname"
                    max_length=64
                    required=true
                    autofocus=true
                />
                {move || refusal.get().map(|text| view! { <Notice tone=Tone::Bad text /> })}
                <Button
                    label="Create my identity"
                    look=Look::Primary
                    busy
                    disabled=Signal::derive(move || name.with(|n| n.trim().is_empty()))
                    testid="first-run-submit"
                />
            </form>
            <p class="gate-note">
                "This makes a pair of keys that stays on this device: it is who you are to others, and what your messages are sealed with. Nobody can restore it for you, so keep this device's data."
            </p>
        </main>
    }
    .into_any()
}
