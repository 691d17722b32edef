//! One of several ways, each with a word about it.

use leptos::prelude::*;

/// A radio button with a title, a sentence, and a short fact at the right. The ways of one `group` exclude each
/// other; they belong into a `<fieldset class="choices">`.
#[component]
pub(crate) fn Choice(
    group: &'static str,
    title: &'static str,
    #[prop(into)] hint: Signal<String>,
    #[prop(optional, into)] aside: String,
    #[prop(into)] chosen: Signal<bool>,
    #[prop(into)] choose: Callback<()>,
    /// Its sentence has the same mark with `-hint`.
    testid: String,
) -> impl IntoView {
    let hint_mark = format!("{testid}-hint");
    view! {
        <label class="choice">
            <input
                type="radio"
                name=group
                prop:checked=move || chosen.get()
                on:change=move |_| choose.run(())
                data-testid=testid
            />
            <span class="choice-main">
                <span class="choice-head">
                    <span class="choice-title">{title}</span>
                    {(!aside.is_empty()).then(|| view! { <span class="choice-aside">{aside}</span> })}
                </span>
                <small data-testid=hint_mark>{move || hint.get()}</small>
            </span>
        </label>
    }
    .into_any()
}
