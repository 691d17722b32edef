//! The states of anything that is read from the node: on its way, failed, there.

use super::{Button, Glyph, Icon};
use crate::keyed::Load;
use leptos::prelude::*;

/// Shows grey lines while something is read, the reason and a way to try again when that failed, and else the
/// children.
#[component]
pub(crate) fn Loaded(
    #[prop(into)] load: Signal<Load>,
    #[prop(into)] retry: Callback<()>,
    /// How many grey lines to show.
    #[prop(default = 3)]
    lines: usize,
    children: ChildrenFn,
) -> impl IntoView {
    // A memo, so that reading again what is there already does not draw everything anew.
    let load = Memo::new(move |_| load.get());
    move || match load.get() {
        Load::Ready => children().into_any(),
        Load::Idle | Load::Loading => view! {
            <div class="skeleton" role="status" aria-label="Loading">
                {std::iter::repeat_with(|| view! { <span></span> }).take(lines).collect_view()}
            </div>
        }
        .into_any(),
        Load::Failed(reason) => view! {
            <div class="empty" role="alert">
                <span class="empty-icon bad">
                    <Icon glyph=Glyph::Alert />
                </span>
                <h3>"This could not be read"</h3>
                <p>{reason}</p>
                <div class="empty-actions">
                    <Button label="Try again" glyph=Glyph::Refresh on_press=retry />
                </div>
            </div>
        }
        .into_any(),
    }
}
