//! `/out` as a tar archive that is the same byte for byte wherever the folder is the same.

use super::wasi::vfs::Vfs;
use crate::run::RunError;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use tar::{Builder, EntryType, Header};

/// Writes the archive. False if `/out` is empty: then nothing is written.
pub(super) fn write(vfs: &Vfs, file: File) -> Result<bool, RunError> {
    let mut any = false;
    let mut builder = Builder::new(BufWriter::new(file));
    for (path, content) in vfs.outputs() {
        any = true;
        append(&mut builder, path, content).map_err(|e| disk(&e))?;
    }
    if any {
        builder.into_inner().and_then(|mut file| file.flush()).map_err(|e| disk(&e))?;
    }
    Ok(any)
}

fn append(builder: &mut Builder<impl Write>, path: &str, content: Option<&[u8]>) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    match content {
        Some(bytes) => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes)
        }
        None => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            builder.append_data(&mut header, format!("{path}/"), io::empty())
        }
    }
}

fn disk(error: &io::Error) -> RunError {
    RunError::Device(format!("the files of /out cannot be written: {error}"))
}
