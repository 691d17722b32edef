//! Fields of forms: each with a label of its own, and a hint where one helps.

use leptos::prelude::*;
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

/// An id that no other element of the page has.
fn fresh_id() -> String {
    let n = COUNT.get();
    COUNT.set(n + 1);
    format!("field-{n}")
}

fn frame(id: &str, label: &'static str, hint: String, input: AnyView, refusal: Option<AnyView>) -> AnyView {
    let hint = (!hint.is_empty()).then(|| view! { <small id=format!("{id}-hint")>{hint}</small> });
    view! {
        <div class="field">
            <label for=id.to_owned()>{label}</label>
            {input}
            {refusal}
            {hint}
        </div>
    }
    .into_any()
}

/// A line of text.
#[component]
pub(crate) fn TextField(
    label: &'static str,
    value: RwSignal<String>,
    #[prop(optional, into)] hint: String,
    /// The input's type: text, password, number, search.
    #[prop(default = "text")]
    kind: &'static str,
    #[prop(optional)] testid: Option<&'static str>,
    #[prop(optional)] placeholder: &'static str,
    #[prop(default = "off")] autocomplete: &'static str,
    #[prop(optional)] max_length: Option<u32>,
    #[prop(optional)] min: Option<u32>,
    #[prop(optional)] max: Option<u32>,
    #[prop(optional)] required: bool,
    #[prop(optional)] autofocus: bool,
    /// Why the node refused what is in it; its mark is the field's with `-error`.
    #[prop(optional, into)]
    refusal: Option<Signal<Option<String>>>,
) -> impl IntoView {
    let id = fresh_id();
    let hinted = (!hint.is_empty()).then(|| format!("{id}-hint"));
    let refused = move || refusal.is_some_and(|r| r.with(Option::is_some));
    let refusal_id = format!("{id}-refusal");
    let described = {
        let refusal_id = refusal_id.clone();
        move || if refused() { Some(refusal_id.clone()) } else { hinted.clone() }
    };
    let refusal = refusal.map(|refusal| {
        let mark = testid.map(|t| format!("{t}-error"));
        let show = move |text: String| {
            view! { <p class="field-refusal" id=refusal_id.clone() role="alert" data-testid=mark.clone()>{text}</p> }
        };
        (move || refusal.get().map(&show)).into_any()
    });
    let input = view! {
        <input
            id=id.clone()
            type=kind
            class="input"
            prop:value=move || value.get()
            on:input=move |e| value.set(event_target_value(&e))
            data-testid=testid
            placeholder=placeholder
            autocomplete=autocomplete
            maxlength=max_length
            min=min
            max=max
            required=required
            autofocus=autofocus
            aria-invalid=move || refused().then_some("true")
            aria-describedby=described
        />
    };
    frame(&id, label, hint, input.into_any(), refusal)
}

/// Several lines of text.
#[component]
pub(crate) fn TextArea(
    label: &'static str,
    value: RwSignal<String>,
    #[prop(optional, into)] hint: String,
    #[prop(default = 4)] rows: u32,
    #[prop(optional)] testid: Option<&'static str>,
    #[prop(optional)] placeholder: &'static str,
    #[prop(optional)] max_length: Option<u32>,
    #[prop(optional)] required: bool,
    /// For codes: letters of one width, no spelling marks.
    #[prop(optional)]
    code: bool,
) -> impl IntoView {
    let id = fresh_id();
    let described = (!hint.is_empty()).then(|| format!("{id}-hint"));
    let input = view! {
        <textarea
            id=id.clone()
            class=if code { "input code" } else { "input" }
            rows=rows
            prop:value=move || value.get()
            on:input=move |e| value.set(event_target_value(&e))
            data-testid=testid
            placeholder=placeholder
            maxlength=max_length
            required=required
            spellcheck=if code { "false" } else { "true" }
            aria-describedby=described
        ></textarea>
    };
    frame(&id, label, hint, input.into_any(), None)
}

/// On or off.
#[component]
pub(crate) fn Switch(
    label: &'static str,
    #[prop(optional)] hint: &'static str,
    #[prop(into)] on: Signal<bool>,
    #[prop(into)] set: Callback<bool>,
    #[prop(optional, into)] disabled: Signal<bool>,
    #[prop(optional)] testid: Option<&'static str>,
) -> impl IntoView {
    let id = fresh_id();
    let hint_id = format!("{id}-hint");
    view! {
        <div class="switch-row">
            <span class="switch-text">
                <label for=id.clone()>{label}</label>
                {(!hint.is_empty()).then(|| view! { <small id=hint_id.clone()>{hint}</small> })}
            </span>
            <input
                id=id
                type="checkbox"
                role="switch"
                class="switch"
                prop:checked=move || on.get()
                disabled=move || disabled.get()
                on:change=move |e| set.run(event_target_checked(&e))
                data-testid=testid
                aria-describedby=(!hint.is_empty()).then_some(hint_id)
            />
        </div>
    }
    .into_any()
}
