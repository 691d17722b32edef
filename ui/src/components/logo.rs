//! The logo: three layers of fog, and in each a packet on its way.

use leptos::prelude::*;

/// The logo alone, without the name.
#[component]
pub(crate) fn Logo() -> impl IntoView {
    view! {
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
            <rect class="logo-ground" width="32" height="32" rx="8" />
            <path class="logo-layer" d="M7 10h12M25 10h.01" />
            <path class="logo-layer" d="M7 16h.01M13 16h12" opacity=".86" />
            <path class="logo-layer" d="M7 22h8M21 22h.01" opacity=".66" />
        </svg>
    }
    .into_any()
}
