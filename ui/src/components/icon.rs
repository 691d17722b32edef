//! The icons: drawn for this page on a grid of 20 by 20, as lines.

use leptos::prelude::*;

/// What an icon shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glyph {
    Home,
    Chat,
    Circuits,
    Compute,
    Earnings,
    Governance,
    Settings,
    Plus,
    Close,
    Back,
    Next,
    Copy,
    Check,
    CheckTwice,
    Hourglass,
    Alert,
    Send,
    Search,
    Card,
    Route,
    Download,
    File,
    Block,
    Lock,
    Refresh,
    Relay,
    Info,
}

impl Glyph {
    fn path(self) -> &'static str {
        match self {
            Self::Home => "M3 9.5 10 3.5l7 6M5 8.2V16h3.6v-4h2.8v4H15V8.2",
            Self::Chat => "M3.5 4.5h13v9H9l-3.6 3v-3H3.5zM7 8h6M7 10.5h4",
            Self::Circuits => {
                "M4.5 6.5a1.8 1.8 0 1 0 0-.01M15.5 10a1.8 1.8 0 1 0 0-.01M4.5 14a1.8 1.8 0 1 0 0-.01M6.3 6.8 12 9.3M6.3 13.4l5.6-2.7"
            }
            Self::Compute => {
                "M6 6h8v8H6zM8.5 8.5h3v3h-3zM8 3v3M12 3v3M8 14v3M12 14v3M3 8h3M3 12h3M14 8h3M14 12h3"
            }
            Self::Earnings => {
                "M3.5 16.5h13M5 13.5v-3M9 13.5v-6M13 13.5V9M16.5 5.5 13.8 4M16.5 5.5l-1.6 2.6M16.2 5.4 11 6.6 7 4.5 3.5 7"
            }
            Self::Governance => {
                "M10 3.5v13M6.5 16.5h7M4 6h12M4 6l-2 5.2c.8 1.6 3.2 1.6 4 0zM16 6l-2 5.2c.8 1.6 3.2 1.6 4 0z"
            }
            Self::Settings => "M3.5 6h7M14.5 6h2M12.5 4v4M3.5 14h2M9.5 14h7M7.5 12v4M3.5 10h13",
            Self::Plus => "M10 4.5v11M4.5 10h11",
            Self::Close => "M5.5 5.5l9 9M14.5 5.5l-9 9",
            Self::Back => "M12 4.5 6.5 10l5.5 5.5",
            Self::Next => "M8 4.5 13.5 10 8 15.5",
            Self::Copy => "M7 7V3.5h9.5V13H13M3.5 7H13v9.5H3.5z",
            Self::Check => "M4.5 10.5l3.8 3.8 7.2-8.3",
            Self::CheckTwice => "M2 10.8l3.4 3.4L12 6.4M9 13.4l.9.8 7.3-7.8",
            Self::Hourglass => "M10 3.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13M10 6.5V10l2.3 1.8",
            Self::Alert => "M10 3.5 17.5 16h-15zM10 8.2v3.6M10 13.9v.1",
            Self::Send => "M3.5 10h7M3.5 10 3 4l14 6-14 6z",
            Self::Search => "M8.8 3.5a5.3 5.3 0 1 1 0 10.6 5.3 5.3 0 0 1 0-10.6M12.7 12.7l3.8 3.8",
            Self::Card => {
                "M3.5 3.5h5v5h-5zM11.5 3.5h5v5h-5zM3.5 11.5h5v5h-5zM11.5 11.5h2v2h-2zM14.5 14.5h2v2h-2z"
            }
            Self::Route => "M4 16.5v-6a3 3 0 0 1 3-3h8.5M12.5 4.5l3 3-3 3",
            Self::Download => "M10 3.5V12M6.5 8.8 10 12.3l3.5-3.5M3.5 16.5h13",
            Self::File => "M5 2.8h6.5L15 6.3v10.9H5zM11.5 2.8v3.5H15",
            Self::Block => "M10 3.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13M5.5 5.5l9 9",
            Self::Lock => "M4.5 9h11v7.5h-11zM7 9V6.5a3 3 0 0 1 6 0V9M10 12v1.8",
            Self::Refresh => "M16 6.5A6.8 6.8 0 1 0 16.8 11M16.5 3.2v3.6h-3.6",
            Self::Relay => {
                "M10 7.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5M5.2 5.2a6.8 6.8 0 0 0 0 9.6M14.8 5.2a6.8 6.8 0 0 1 0 9.6"
            }
            Self::Info => "M10 3.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13M10 9.2v4M10 6.7v.1",
        }
    }
}

/// An icon beside words that say the same; screen readers skip it.
#[component]
pub(crate) fn Icon(glyph: Glyph) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
            <path d=glyph.path() />
        </svg>
    }
    .into_any()
}
