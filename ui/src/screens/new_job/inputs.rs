//! The files for /in: dropped, chosen, or a whole folder.

use super::Form;
use crate::components::{Button, Glyph, Icon, IconButton, Look};
use crate::files;
use crate::format;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

/// Files that are listed; more are counted.
const LISTED: usize = 8;

/// A place for files and folders, and the list of those that are there.
#[component]
pub(super) fn Inputs(form: Form) -> impl IntoView {
    let over = RwSignal::new(false);
    let (files_input, folder_input) = (NodeRef::<html::Input>::new(), NodeRef::<html::Input>::new());
    Effect::new(move |_| {
        if let Some(input) = folder_input.get() {
            // Without it a single file can be chosen here, which does no harm.
            let _ = input.set_attribute("webkitdirectory", "");
        }
    });
    let take = move |input: NodeRef<html::Input>| {
        let Some(input) = input.get_untracked() else { return };
        if let Some(list) = input.files() {
            // A folder's own name is not part of the names below /in.
            let given = files::chosen(&list).into_iter().map(|mut g| {
                if let Some((_, rest)) = g.path.split_once('/') {
                    g.path = rest.to_owned();
                }
                g
            });
            form.add_inputs(given);
        }
        // So that choosing the same again is heard too.
        input.set_value("");
    };
    let dropped = move |e: leptos::ev::DragEvent| {
        e.prevent_default();
        over.set(false);
        let Some(transfer) = e.data_transfer() else { return };
        let given = files::dropped(&transfer);
        spawn_local(async move {
            let given = given.await;
            let paths: Vec<String> = given.iter().map(|g| g.path.clone()).collect();
            // Here everything is an input, also a module: it may be what another program works on.
            let (module, mut named) = crate::job_form::sort_out(&paths);
            if let Some(module) = module {
                let name = paths[module].rsplit('/').next().unwrap_or_default().to_owned();
                named.push((module, name));
            }
            form.add_inputs(
                named.into_iter().map(|(i, path)| files::Given { path, file: given[i].file.clone() }),
            );
        });
    };
    let press = move |input: NodeRef<html::Input>| {
        if let Some(input) = input.get_untracked() {
            input.click();
        }
    };
    let list = move || {
        let rows = form.inputs.with(|inputs| {
            inputs.iter().take(LISTED).map(|g| (g.path.clone(), g.file.size() as u64)).collect::<Vec<_>>()
        });
        let row = |(path, size): (String, u64)| {
            let gone = path.clone();
            view! {
                <li data-testid="job-input-file">
                    <Icon glyph=Glyph::File />
                    <span class="input-name">{format!("/in/{path}")}</span>
                    <small>{format::bytes(size)}</small>
                    <IconButton
                        glyph=Glyph::Close
                        label="Remove"
                        on_press=move |()| form.inputs.update(|inputs| inputs.retain(|g| g.path != gone))
                    />
                </li>
            }
        };
        rows.into_iter().map(row).collect_view()
    };
    let rest = move || {
        let (count, size) = form
            .inputs
            .with(|inputs| (inputs.len(), inputs.iter().map(|g| g.file.size() as u64).sum::<u64>()));
        (count > 0).then(|| {
            let more = count.saturating_sub(LISTED);
            let hidden = if more > 0 { format!("and {more} more; ") } else { String::new() };
            view! {
                <p class="hint" data-testid="job-inputs-sum">
                    {format!("{hidden}{} in all, {}", format::plural(count as u64, "file", "files"), format::bytes(size))}
                </p>
            }
        })
    };
    let any = move || form.inputs.with(|inputs| !inputs.is_empty());
    view! {
        <div
            class="field inputs"
            class:over=move || over.get()
            on:dragover=move |e| {
                e.prevent_default();
                over.set(true);
            }
            on:dragleave=move |_| over.set(false)
            on:drop=dropped
            data-testid="job-inputs"
        >
            <span class="field-label">"Files for /in (optional)"</span>
            <ul class="input-list">{list}</ul>
            {rest}
            <div class="input-actions">
                <Button label="Add files" glyph=Glyph::Plus on_press=move |()| press(files_input) />
                <Button label="Add a folder" glyph=Glyph::Plus on_press=move |()| press(folder_input) />
                <Show when=any>
                    <Button label="Remove all" look=Look::Quiet on_press=move |()| form.inputs.set(Vec::new()) />
                </Show>
                <small>"or drop them here"</small>
            </div>
            <input
                type="file"
                multiple=true
                class="visually-hidden"
                tabindex="-1"
                aria-label="Files for /in"
                node_ref=files_input
                on:change=move |_| take(files_input)
                data-testid="job-input-files"
            />
            <input
                type="file"
                class="visually-hidden"
                tabindex="-1"
                aria-label="A folder for /in"
                node_ref=folder_input
                on:change=move |_| take(folder_input)
                data-testid="job-input-folder"
            />
        </div>
    }
    .into_any()
}
