//! The frame of a screen: its heading and what can be done there.

use super::{Glyph, IconLink};
use crate::route::Route;
use leptos::prelude::*;

/// A screen with a heading.
#[component]
pub(crate) fn Page(
    #[prop(into)] title: Signal<String>,
    #[prop(optional, into)] subtitle: String,
    /// The screen one step up.
    #[prop(optional)]
    back: Option<Route>,
    /// Buttons at the right of the heading.
    #[prop(optional, into)]
    actions: Option<ViewFn>,
    #[prop(optional)] testid: Option<&'static str>,
    children: Children,
) -> impl IntoView {
    view! {
        <div class="page" data-testid=testid>
            <header class="page-head">
                {back.map(|to| view! { <IconLink glyph=Glyph::Back label="Back" to class="back" /> })}
                <div class="page-title">
                    <h1>{move || title.get()}</h1>
                    {(!subtitle.is_empty()).then(|| view! { <p>{subtitle}</p> })}
                </div>
                {actions.map(|actions| view! { <div class="page-actions">{actions.run()}</div> })}
            </header>
            {children()}
        </div>
    }
    .into_any()
}
