//! Files that a person chose or dropped, with the paths that they had, and looking into content that came back.

use crate::browser::property;
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, DataTransfer, File, FileList, FileReader, FileSystemDirectoryEntry, FileSystemEntry,
    FileSystemFileEntry,
};

/// More files are left out, and that is told.
pub(crate) const MOST_FILES: usize = 1_000;
/// Folders within folders at most.
const DEPTH: usize = 16;

/// A file with its path, as far as the browser tells it: `folder/name` in a folder that was dropped.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) path: String,
    pub(crate) file: File,
}

/// The files of an input element.
pub(crate) fn chosen(list: &FileList) -> Vec<Given> {
    (0..list.length()).take(MOST_FILES + 1).filter_map(|i| list.get(i)).map(given).collect()
}

fn given(file: File) -> Given {
    let path = property(&file, "webkitRelativePath").as_string().filter(|p| !p.is_empty());
    Given { path: path.unwrap_or_else(|| file.name()), file }
}

/// What was dropped: files, and folders with all that is in them. To be called while the drop is handled, since the browser
/// forgets it afterwards; what it returns may be waited for later.
pub(crate) fn dropped(transfer: &DataTransfer) -> impl Future<Output = Vec<Given>> + use<> {
    let items = transfer.items();
    let entries: Vec<FileSystemEntry> =
        (0..items.length()).filter_map(|i| items.get(i)?.webkit_get_as_entry().ok().flatten()).collect();
    // Where the browser knows no entries there are no folders either.
    let plain = if entries.is_empty() { transfer.files() } else { None };
    async move {
        let mut all: Vec<Given> = plain.as_ref().map(chosen).unwrap_or_default();
        let mut open: Vec<(FileSystemEntry, usize)> = entries.into_iter().map(|e| (e, 0)).collect();
        while let Some((entry, depth)) = open.pop() {
            if all.len() > MOST_FILES {
                break;
            }
            if entry.is_directory() && depth < DEPTH {
                let inside = read_folder(entry.unchecked_into()).await;
                open.extend(inside.into_iter().map(|e| (e, depth + 1)));
            } else if entry.is_file() {
                let path = entry.full_path().trim_start_matches('/').to_owned();
                if let Some(file) = read_file(&entry.unchecked_into()).await {
                    all.push(Given { path, file });
                }
            }
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }
}

async fn read_file(entry: &FileSystemFileEntry) -> Option<File> {
    let promise = Promise::new(&mut |resolve, reject| {
        entry.file_with_callback_and_callback(&resolve, &reject);
    });
    JsFuture::from(promise).await.ok()?.dyn_into().ok()
}

/// A reader gives a folder in parts, and an empty one at the end.
async fn read_folder(entry: FileSystemDirectoryEntry) -> Vec<FileSystemEntry> {
    let reader = entry.create_reader();
    let mut all = Vec::new();
    while all.len() <= MOST_FILES {
        let promise = Promise::new(&mut |resolve, reject| {
            if reader.read_entries_with_callback_and_callback(&resolve, &reject).is_err() {
                // Calling a function that the browser gave with no arguments cannot fail.
                let _ = reject.call0(&JsValue::UNDEFINED);
            }
        });
        let Ok(part) = JsFuture::from(promise).await else { break };
        let part: Vec<FileSystemEntry> =
            js_sys::Array::from(&part).iter().map(JsCast::unchecked_into).collect();
        if part.is_empty() {
            break;
        }
        all.extend(part);
    }
    all
}

/// The bytes of content; none if the browser cannot read it.
pub(crate) async fn bytes(blob: &Blob) -> Option<Vec<u8>> {
    let buffer = JsFuture::from(blob.array_buffer()).await.ok()?;
    Some(js_sys::Uint8Array::new(&buffer).to_vec())
}

/// A part of content.
pub(crate) fn part(blob: &Blob, from: u64, len: u64) -> Option<Blob> {
    blob.slice_with_f64_and_f64(from as f64, from.saturating_add(len) as f64).ok()
}

/// A picture as an address that the content policy lets an image have. `kind` is what its bytes say that it is.
pub(crate) async fn picture_address(blob: &Blob, kind: &str) -> Option<String> {
    let size = blob.size();
    let typed = blob.slice_with_f64_and_f64_and_content_type(0.0, size, kind).ok()?;
    let reader = FileReader::new().ok()?;
    let promise = Promise::new(&mut |resolve, reject| {
        reader.set_onload(Some(&resolve));
        reader.set_onerror(Some(&reject));
        if reader.read_as_data_url(&typed).is_err() {
            let _ = reject.call0(&JsValue::UNDEFINED);
        }
    });
    JsFuture::from(promise).await.ok()?;
    reader.result().ok()?.as_string()
}
