//! The files that a job left in /out: a list, a look into one, and all of them as an archive.

use super::Shown;
use super::output::{file_name, save_as};
use super::preview::{Preview, Seen, look};
use crate::components::{Button, Card, Glyph, Icon, Loaded};
use crate::core_link::{call, read};
use crate::files::part;
use crate::format;
use crate::keyed::Load;
use fog_api::{ArchivedFile, GetJobOutputs};
use leptos::prelude::*;
use leptos::task::spawn_local;

/// Archives up to this size are fetched to look into them.
const MOST: u64 = 64 << 20;
/// Files that are listed at first.
const LISTED: usize = 50;

/// The card; nothing where there are no files.
#[component]
pub(super) fn Files(job: Shown) -> impl IntoView {
    let archive = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.files.clone())));
    let size = Memo::new(move |_| job.with(|j| j.as_ref().and_then(|j| j.files_bytes)).unwrap_or_default());
    let id = job.with_untracked(|j| j.as_ref().map(|j| j.id.clone())).unwrap_or_default();
    let load = RwSignal::new(Load::Idle);
    let list = RwSignal::new(Vec::<ArchivedFile>::new());
    let open = RwSignal::new(None::<usize>);
    let fetch = move || {
        load.set(Load::Loading);
        let id = id.clone();
        spawn_local(async move {
            match call(GetJobOutputs { id }).await {
                Ok(outputs) => {
                    // The first picture shows at once, else the first file.
                    let named = |f: &ArchivedFile| looks_like_picture(&f.name);
                    let first =
                        outputs.files.iter().position(named).or((!outputs.files.is_empty()).then_some(0));
                    list.try_set(outputs.files);
                    open.try_set(first);
                    load.try_set(Load::Ready);
                }
                Err(error) => _ = load.try_set(Load::Failed(error.message)),
            }
        });
    };
    {
        let fetch = fetch.clone();
        Effect::new(move |_| {
            if archive.with(Option::is_some) {
                fetch();
            }
        });
    }
    let busy = RwSignal::new(false);
    let save = move |()| {
        let Some(hash) = archive.get_untracked() else { return };
        let name =
            job.with_untracked(|j| j.as_ref().map(|j| file_name(&j.name, "-files.tar"))).unwrap_or_default();
        save_as(hash, name, busy);
    };
    let retry = Callback::new(move |()| fetch());
    view! {
        <Show when=move || archive.with(Option::is_some)>
            <Card
                title="Files"
                aside=move || {
                    view! {
                        <span class="hint">{move || format::bytes(size.get())}</span>
                        <Button label="Download all" glyph=Glyph::Download busy on_press=save testid="job-files-download" />
                    }
                }
                testid="job-files"
            >
                <Loaded load retry>
                    <List archive list open size />
                </Loaded>
            </Card>
        </Show>
    }
    .into_any()
}

fn looks_like_picture(name: &str) -> bool {
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    matches!(ending.as_str(), "png" | "jpg" | "jpeg" | "gif" | "webp")
}

#[component]
fn List(
    archive: Memo<Option<String>>,
    list: RwSignal<Vec<ArchivedFile>>,
    open: RwSignal<Option<usize>>,
    size: Memo<u64>,
) -> impl IntoView {
    let all = RwSignal::new(false);
    let shown = move || list.with(|l| if all.get() { l.len() } else { l.len().min(LISTED) });
    // The archive, once somebody looks into it.
    let content = RwSignal::new_local(None::<Result<web_sys::Blob, String>>);
    let seen = RwSignal::new(None::<(usize, Result<Seen, String>)>);
    Effect::new(move |_| {
        let Some(number) = open.get() else { return };
        let file = list.with_untracked(|l| l.get(number).map(|f| (f.offset, f.bytes)));
        let (Some((offset, bytes)), Some(hash)) = (file, archive.get_untracked()) else { return };
        spawn_local(async move {
            if content.with_untracked(Option::is_none) {
                let read = if size.get_untracked() > MOST {
                    Err("The archive is too large to look into here. Download it instead.".into())
                } else {
                    read(&hash, MOST).await.map_err(|e| e.message)
                };
                content.try_set(Some(read));
            }
            let Some(Some(read)) = content.try_get_untracked() else { return };
            let found = match read {
                Ok(archive) => match part(&archive, offset, bytes) {
                    Some(file) => Ok(look(&file).await),
                    None => Ok(Seen::Other),
                },
                Err(reason) => Err(reason),
            };
            seen.try_set(Some((number, found)));
        });
    });
    let row = move |number: usize| {
        let Some(file) = list.with_untracked(|l| l.get(number).cloned()) else { return ().into_any() };
        view! {
            <li>
                <button
                    type="button"
                    class="row link file-row"
                    aria-pressed=move || (open.get() == Some(number)).then_some("true")
                    on:click=move |_| open.set(Some(number))
                    data-testid="job-file"
                >
                    <Icon glyph=Glyph::File />
                    <span class="row-main">
                        <span class="row-title">{file.name}</span>
                    </span>
                    <span class="hint">{format::bytes(file.bytes)}</span>
                </button>
            </li>
        }
        .into_any()
    };
    let preview = move || {
        let number = open.get()?;
        let name = list.with(|l| l.get(number).map(|f| f.name.clone()))?;
        let inside = match seen.get() {
            Some((of, Ok(seen))) if of == number => {
                view! { <Preview seen name=name.clone() testid="job-file-preview" /> }.into_any()
            }
            Some((of, Err(reason))) if of == number => view! { <p class="hint">{reason}</p> }.into_any(),
            _ => view! { <p class="hint">"Reading…"</p> }.into_any(),
        };
        Some(view! {
            <figure class="preview">
                <figcaption>{name}</figcaption>
                {inside}
            </figure>
        })
    };
    view! {
        <div class="files">
            <ul class="rows">
                <For each=move || 0..shown() key=|n| *n children=row />
            </ul>
            {preview}
        </div>
        <Show when=move || !all.get() && list.with(|l| l.len() > LISTED)>
            <Button
                label=Signal::derive(move || format!("Show all {}", list.with(Vec::len)))
                on_press=move |()| all.set(true)
            />
        </Show>
    }
    .into_any()
}
