//! Content that came back, shown as what it is: text, a picture, or neither.

use crate::files;
use crate::job_form;
use leptos::prelude::*;

/// Bytes of text that are shown.
const TEXT: u64 = 64 * 1024;
/// Larger pictures are not shown.
const PICTURE: u64 = 16 << 20;

/// What can be shown of content.
#[derive(Clone, PartialEq)]
pub(super) enum Seen {
    /// Text, and whether there is more.
    Text(String, bool),
    /// A picture's address.
    Picture(String),
    /// There is nothing in it.
    Nothing,
    /// It is neither.
    Other,
}

/// Looks into content. Its kind shows by its bytes; what a stranger calls it does not count.
pub(super) async fn look(content: &web_sys::Blob) -> Seen {
    let size = content.size() as u64;
    if size == 0 {
        return Seen::Nothing;
    }
    let start = match files::part(content, 0, TEXT.min(size)) {
        Some(part) => files::bytes(&part).await.unwrap_or_default(),
        None => Vec::new(),
    };
    if let Some(kind) = job_form::picture(&start) {
        let address = if size <= PICTURE { files::picture_address(content, kind).await } else { None };
        return address.map_or(Seen::Other, Seen::Picture);
    }
    match job_form::text(&start, size <= TEXT) {
        Some(text) => Seen::Text(text.to_owned(), size > TEXT),
        None => Seen::Other,
    }
}

/// Draws it.
#[component]
pub(super) fn Preview(seen: Seen, name: String, testid: &'static str) -> impl IntoView {
    match seen {
        Seen::Text(text, more) => view! {
            <pre class="output" tabindex="0" data-testid=testid>{text}</pre>
            {more.then(|| view! { <p class="hint">"This is the beginning. Download it to see the rest."</p> })}
        }
        .into_any(),
        Seen::Picture(address) => view! { <img class="picture" src=address alt=name data-testid=testid /> }.into_any(),
        Seen::Nothing => view! { <p class="hint">"There is nothing in it."</p> }.into_any(),
        Seen::Other => view! { <p class="hint">"This is neither text nor a picture that can be shown here. Download it to use it."</p> }
        .into_any(),
    }
}
