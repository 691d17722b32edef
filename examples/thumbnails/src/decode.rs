//! PNG and JPEG files into pictures. What they are shows by their first bytes, not their names.

use crate::picture::Picture;
use std::io::Cursor;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Larger pictures are refused before anything is allocated for them.
const MOST_PIXELS: u64 = 64 << 20;

/// Decodes a file's content.
pub fn decode(bytes: &[u8]) -> Result<Picture, String> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => png(bytes),
        [0xff, 0xd8, ..] => jpeg(bytes),
        _ => Err("this is neither a PNG nor a JPEG file".into()),
    }
}

fn check(width: u32, height: u32) -> Result<(), String> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MOST_PIXELS {
        return Err(format!(
            "{width} x {height} is not a size that can be read (at most {MOST_PIXELS} pixels)"
        ));
    }
    Ok(())
}

fn png(bytes: &[u8]) -> Result<Picture, String> {
    let told = |e: png::DecodingError| format!("damaged: {e}");
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().map_err(told)?;
    let (width, height) = (reader.info().width, reader.info().height);
    check(width, height)?;
    let mut buffer = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut buffer).map_err(told)?;
    buffer.truncate(info.buffer_size());
    let pixels = match info.color_type {
        png::ColorType::Rgba => buffer,
        png::ColorType::Rgb => buffer.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect(),
        png::ColorType::GrayscaleAlpha => {
            buffer.chunks_exact(2).flat_map(|p| [p[0], p[0], p[0], p[1]]).collect()
        }
        png::ColorType::Grayscale => buffer.iter().flat_map(|p| [*p, *p, *p, 255]).collect(),
        png::ColorType::Indexed => return Err("damaged: a palette where there should be colours".into()),
    };
    complete(width, height, pixels)
}

fn jpeg(bytes: &[u8]) -> Result<Picture, String> {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| format!("damaged: {e:?}"))?;
    let (width, height) = decoder.dimensions().ok_or("damaged: no size")?;
    let (width, height) = (width as u32, height as u32);
    check(width, height)?;
    let rgb = decoder.decode().map_err(|e| format!("damaged: {e:?}"))?;
    complete(width, height, rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect())
}

fn complete(width: u32, height: u32, pixels: Vec<u8>) -> Result<Picture, String> {
    if pixels.len() as u64 != u64::from(width) * u64::from(height) * 4 {
        return Err("damaged: pixels are missing".into());
    }
    Ok(Picture { width, height, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 2 x 1, red and half-transparent blue, as a PNG file.
    fn file() -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 2, 1);
        encoder.set_color(png::ColorType::Rgba);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[255, 0, 0, 255, 0, 0, 255, 128]).unwrap();
        writer.finish().unwrap();
        file
    }

    #[test]
    fn a_png_file_is_read() {
        let picture = decode(&file()).unwrap();
        assert_eq!((picture.width, picture.height), (2, 1));
        assert_eq!(picture.pixels, [255, 0, 0, 255, 0, 0, 255, 128]);
    }

    #[test]
    fn damaged_files_are_told() {
        let whole = file();
        assert!(decode(b"GIF89a").unwrap_err().contains("neither"));
        for cut in 8..whole.len() - 16 {
            assert!(decode(&whole[..cut]).is_err(), "{cut}");
        }
        for at in 8..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            _ = decode(&changed); // must not panic
        }
        for len in 2..64 {
            let mut noise = vec![0xff, 0xd8];
            noise.extend((0..len).map(|n| (n * 37 + 11) as u8));
            assert!(decode(&noise).is_err());
        }
    }

    #[test]
    fn a_size_that_lies_is_refused_before_memory_is_taken() {
        let mut bomb = file();
        bomb[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]); // 2^30 x 2^30
        assert!(decode(&bomb).is_err());
    }
}
