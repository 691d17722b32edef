//! Badges and round pictures.

use crate::format;
use crate::words::{TEST_NETWORK, Tone};
use leptos::prelude::*;

/// A word with a colour.
#[component]
pub(crate) fn Badge(
    #[prop(into)] text: Signal<String>,
    #[prop(into)] tone: Signal<Tone>,
    #[prop(optional)] testid: Option<&'static str>,
) -> impl IntoView {
    view! {
        <span class=move || format!("badge {}", tone.get().class()) data-testid=testid>
            <span class="badge-dot" aria-hidden="true"></span>
            {move || text.get()}
        </span>
    }
    .into_any()
}

/// Shown wherever a test network shows.
#[component]
pub(crate) fn TestNetwork() -> impl IntoView {
    view! {
        <span class="badge warn" data-testid="test-network">
            <span class="badge-dot" aria-hidden="true"></span>
            {TEST_NETWORK}
        </span>
    }
    .into_any()
}

/// A person's initials; its shade comes from their id, so that two people of one name look different.
#[component]
pub(crate) fn Avatar(
    #[prop(into)] name: Signal<String>,
    id: String,
    #[prop(optional, into)] online: Signal<bool>,
) -> impl IntoView {
    let shade = id.bytes().fold(0_u8, |sum, b| sum.wrapping_mul(31).wrapping_add(b)) % 6;
    view! {
        <span class=format!("avatar shade-{shade}") aria-hidden="true">
            {move || format::initials(&name.get())}
            <Show when=move || online.get()>
                <span class="avatar-online"></span>
            </Show>
        </span>
    }
    .into_any()
}
