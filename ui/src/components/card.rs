//! Cards and the facts in them.

use leptos::prelude::*;

/// A titled part of a screen.
#[component]
pub(crate) fn Card(
    #[prop(optional, into)] title: String,
    /// What stands at the title's right.
    #[prop(optional, into)]
    aside: Option<ViewFn>,
    #[prop(optional)] class: &'static str,
    #[prop(optional)] testid: Option<&'static str>,
    children: Children,
) -> impl IntoView {
    let head = (!title.is_empty()).then(|| {
        view! {
            <header class="card-head">
                <h2>{title}</h2>
                {aside.map(|aside| view! { <div class="card-aside">{aside.run()}</div> })}
            </header>
        }
    });
    view! {
        <section class=format!("card {class}") data-testid=testid>
            {head}
            {children()}
        </section>
    }
    .into_any()
}

/// A label and its value. Belongs into `<dl class="facts">`.
#[component]
pub(crate) fn Fact(
    label: &'static str,
    #[prop(into)] value: Signal<String>,
    /// A word of explanation under the value.
    #[prop(optional, into)]
    hint: Signal<Option<String>>,
    #[prop(optional)] testid: Option<&'static str>,
) -> impl IntoView {
    view! {
        <div class="fact">
            <dt>{label}</dt>
            <dd data-testid=testid>
                {move || value.get()}
                {move || hint.get().map(|hint| view! { <small>{hint}</small> })}
            </dd>
        </div>
    }
    .into_any()
}
