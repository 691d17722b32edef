//! An image's layers: found, unpacked within a limit, hashed.

use super::{HashTo, Refusal, append, digest, io_reason};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

/// Where a layer's bytes are in the archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer {
    pub(super) offset: u64,
    pub(super) size: u64,
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// True if the file starts as gzip does. Leaves it at its start.
pub(super) fn is_gzip(file: &mut File) -> io::Result<bool> {
    let mut magic = Vec::new();
    (&*file).take(2).read_to_end(&mut magic)?;
    file.rewind()?;
    Ok(magic == GZIP)
}

/// Unpacks gzip, at most `max` bytes.
pub(super) fn gunzip(from: &mut File, to: &mut File, max: u64) -> Result<(), Refusal> {
    let mut unpacked = MultiGzDecoder::new(BufReader::new(from)).take(max.saturating_add(1));
    let size = io::copy(&mut unpacked, to).map_err(|e| format!("it cannot be unpacked: {e}"))?;
    if size > max {
        return Err(too_large(max));
    }
    to.rewind().map_err(io_reason)
}

/// Appends a layer, unpacked, to `out`. Returns its size and digest.
pub(super) fn copy_layer(
    archive: &mut File,
    layer: &Layer,
    out: &mut tar::Builder<File>,
    name: &str,
    max: u64,
) -> Result<(u64, String), Refusal> {
    let mut magic = Vec::new();
    archive.seek(SeekFrom::Start(layer.offset)).map_err(io_reason)?;
    (&*archive).take(layer.size.min(4)).read_to_end(&mut magic).map_err(io_reason)?;
    if magic == ZSTD {
        return Err("its layers are compressed with zstd: save it with gzip or uncompressed".into());
    }
    let packed = magic.starts_with(&GZIP);
    // A tar's header says the size first, so a packed layer is unpacked twice: once to count, once to write.
    let size = if packed { measure(archive, layer, max)? } else { layer.size };
    if size > max {
        return Err(too_large(max));
    }
    archive.seek(SeekFrom::Start(layer.offset)).map_err(io_reason)?;
    let bytes = archive.take(layer.size);
    let mut hasher = Sha256::new();
    let reader: &mut dyn Read =
        if packed { &mut MultiGzDecoder::new(BufReader::new(bytes)) } else { &mut BufReader::new(bytes) };
    append(out, name, size, Tee { reader: reader.take(size), hasher: HashTo(&mut hasher) })?;
    Ok((size, digest(hasher)))
}

fn measure(archive: &mut File, layer: &Layer, max: u64) -> Result<u64, Refusal> {
    archive.seek(SeekFrom::Start(layer.offset)).map_err(io_reason)?;
    let unpacked = MultiGzDecoder::new(BufReader::new(archive.take(layer.size)));
    io::copy(&mut unpacked.take(max.saturating_add(1)), &mut io::sink())
        .map_err(|e| format!("a layer cannot be unpacked: {e}"))
}

fn too_large(max: u64) -> Refusal {
    format!("unpacked it has more than the {max} bytes that an image may have here")
}

struct Tee<'a, R> {
    reader: R,
    hasher: HashTo<'a>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.hasher.write_all(&buffer[..n])?;
        Ok(n)
    }
}
