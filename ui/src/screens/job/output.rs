//! A job's standard output.

use super::Shown;
use super::preview::{Preview, Seen, look};
use crate::components::{Button, Card, Glyph};
use crate::core_link::{download, read};
use crate::format;
use crate::store::store;
use crate::words::Tone;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// Bytes of the output that are fetched to see whether it is a picture.
const MOST: u64 = 16 << 20;

/// What the job wrote to standard output, once it is here.
#[component]
pub(super) fn Output(job: Shown) -> impl IntoView {
    let output = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.output.clone())));
    let size = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.output_bytes)).unwrap_or_default());
    let preview = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.output_preview.clone())));
    let seen = RwSignal::new(None::<Seen>);
    Effect::new(move |_| {
        let Some(hash) = output.get() else { return };
        match preview.get() {
            Some(text) if !text.is_empty() => seen.set(Some(Seen::Text(text, size.get() > 4096))),
            _ if size.get() == 0 => seen.set(Some(Seen::Nothing)),
            _ => spawn_local(async move {
                let found = match read(&hash, MOST).await {
                    Ok(content) => look(&content).await,
                    Err(_) => Seen::Other,
                };
                seen.try_set(Some(found));
            }),
        }
    });
    let busy = RwSignal::new(false);
    let save = move |()| {
        let Some(hash) = output.get_untracked() else { return };
        let name =
            job.with_untracked(|j| j.as_ref().map(|j| file_name(&j.name, "-output"))).unwrap_or_default();
        save_as(hash, name, busy);
    };
    view! {
        <Show when=move || output.with(Option::is_some)>
            <Card
                title="Output"
                aside=move || {
                    view! {
                        <span class="hint">{move || format::bytes(size.get())}</span>
                        <Button label="Download" glyph=Glyph::Download busy on_press=save testid="job-download" />
                    }
                }
            >
                {move || match seen.get() {
                    Some(Seen::Nothing) => view! { <p class="hint">"The job wrote nothing to its standard output."</p> }.into_any(),
                    Some(seen) => view! { <Preview seen name="Output".to_owned() testid="job-output" /> }.into_any(),
                    None => view! { <p class="hint">"Reading…"</p> }.into_any(),
                }}
            </Card>
        </Show>
    }
    .into_any()
}

/// Saves content under a name, and says where.
pub(super) fn save_as(hash: String, name: String, busy: RwSignal<bool>) {
    busy.set(true);
    spawn_local(async move {
        match download(&hash, &name).await {
            Ok(Some(path)) => store().toast(Tone::Good, format!("Saved to {path}.")),
            Ok(None) => {}
            Err(error) => store().complain(&error),
        }
        busy.try_set(false);
    });
}

/// A file name from a job's label.
pub(super) fn file_name(label: &str, ending: &str) -> String {
    let safe: String = label
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .collect();
    let safe = safe.trim_matches(['-', '.']);
    format!("{}{ending}", if safe.is_empty() { "job" } else { safe })
}
