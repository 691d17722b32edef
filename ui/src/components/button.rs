//! Buttons.

use super::{Glyph, Icon};
use crate::route::Route;
use leptos::prelude::*;

/// How much a button asks to be pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Look {
    /// The one thing to do here.
    Primary,
    /// Any other thing.
    #[default]
    Plain,
    /// Like text, for what is done rarely.
    Quiet,
    /// Takes something away.
    Danger,
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Self::Primary => "button primary",
            Self::Plain => "button",
            Self::Quiet => "button quiet",
            Self::Danger => "button danger",
        }
    }
}

/// A button with words. Without `on_press` it submits its form.
#[component]
pub(crate) fn Button(
    #[prop(into)] label: Signal<String>,
    #[prop(optional)] look: Look,
    #[prop(optional)] glyph: Option<Glyph>,
    #[prop(optional, into)] on_press: Option<Callback<()>>,
    /// Something is under way; the button waits.
    #[prop(optional, into)]
    busy: Signal<bool>,
    #[prop(optional, into)] disabled: Signal<bool>,
    #[prop(optional)] testid: Option<&'static str>,
) -> impl IntoView {
    view! {
        <button
            type=if on_press.is_some() { "button" } else { "submit" }
            class=look.class()
            data-testid=testid
            aria-busy=move || busy.get().then_some("true")
            disabled=move || busy.get() || disabled.get()
            on:click=move |_| {
                if let Some(press) = on_press {
                    press.run(());
                }
            }
        >
            {glyph.map(|glyph| view! { <Icon glyph /> })}
            <span>{move || label.get()}</span>
        </button>
    }
    .into_any()
}

/// A button that is an icon; its label is for screen readers and the tool tip.
#[component]
pub(crate) fn IconButton(
    glyph: Glyph,
    #[prop(into)] label: String,
    #[prop(into)] on_press: Callback<()>,
    #[prop(optional)] testid: Option<&'static str>,
) -> impl IntoView {
    view! {
        <button
            type="button"
            class="icon-button"
            title=label.clone()
            aria-label=label
            data-testid=testid
            on:click=move |_| on_press.run(())
        >
            <Icon glyph />
        </button>
    }
    .into_any()
}

/// The same as a link to another screen.
#[component]
pub(crate) fn IconLink(
    glyph: Glyph,
    #[prop(into)] label: String,
    to: Route,
    #[prop(optional)] class: &'static str,
) -> impl IntoView {
    view! {
        <a class=format!("icon-button {class}") title=label.clone() aria-label=label href=to.href()>
            <Icon glyph />
        </a>
    }
    .into_any()
}
