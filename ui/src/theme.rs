//! Light or dark: as the system says, or as the user chose.
//!
//! `boot.js` sets the theme before the first paint, from the same key; this module is for changing it later.

use crate::browser;
use leptos::prelude::*;

const KEY: &str = "fog-theme";

/// What the user chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    /// As it is kept.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// The kept choice.
pub(crate) fn current() -> Theme {
    let kept = browser::stored(KEY).unwrap_or_default();
    Theme::ALL.into_iter().find(|t| t.code() == kept).unwrap_or(Theme::System)
}

/// Keeps a choice and shows it at once: `boot.js` listens for this event and sets the colours, as it does when the
/// system changes.
pub(crate) fn choose(theme: Theme) {
    browser::store(KEY, theme.code());
    if let Ok(event) = web_sys::Event::new("fog-theme") {
        let _ = window().dispatch_event(&event);
    }
}
