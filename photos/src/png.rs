//! Cleans PNG files (third edition of the specification), and checks them with the decoder that Chromium uses.

use crate::exif::orientation;
use crate::rejection::Rejection;
use crate::zlib;
use png::{ColorType, Decoder, Info};
use std::io::Cursor;

const SIGNATURE: usize = 8;
/// Total size in bytes of a chunk's name, length and checksum.
const CHUNK_OVERHEAD: usize = 12;
/// Ancillary chunks that affect how the pixels are displayed or animated, and the maximum lengths of their data. All
/// other ancillary chunks may be metadata, and longer chunks may contain metadata.
const RETAINED: [(&[u8; 4], usize); 14] = [
    (b"tRNS", 256),
    (b"gAMA", 4),
    (b"cHRM", 32),
    (b"sRGB", 1),
    (b"iCCP", usize::MAX),
    (b"cICP", 4),
    (b"mDCV", 24),
    (b"cLLI", 8),
    (b"sBIT", 4),
    (b"bKGD", 6),
    (b"pHYs", 9),
    (b"acTL", 8),
    (b"fcTL", 26),
    (b"fdAT", usize::MAX),
];
const DATA: &[u8; 4] = b"IDAT";
const EXIF: &[u8; 4] = b"eXIf";
const ANIMATION: &[u8; 4] = b"acTL";
const END: &[u8; 4] = b"IEND";

struct Chunk<'a> {
    name: &'a [u8; 4],
    data: &'a [u8],
    /// The whole chunk: length, name, data and checksum.
    bytes: &'a [u8],
}

impl Chunk<'_> {
    /// Returns whether decoders need this chunk. The name of such a chunk begins with an upper-case letter (section
    /// 5.4).
    fn is_critical(&self) -> bool {
        self.name[0].is_ascii_uppercase()
    }

    /// Returns whether browsers use this ancillary chunk to display the pixels.
    fn is_retained(&self) -> bool {
        let fits = |(name, max): &(&[u8; 4], usize)| *name == self.name && self.data.len() <= *max;
        RETAINED.iter().any(fits) && self.is_intact()
    }

    fn is_intact(&self) -> bool {
        let (checked, checksum) = self.bytes[4..].split_at(4 + self.data.len());
        crc32fast::hash(checked).to_be_bytes() == checksum
    }
}

/// Returns the chunks before the first incomplete one.
fn chunks(file: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = file.get(SIGNATURE..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        let (bytes, next) = rest.split_at_checked(length.checked_add(CHUNK_OVERHEAD)?)?;
        rest = next;
        Some(Chunk { name: bytes[4..].first_chunk()?, data: &bytes[8..8 + length], bytes })
    })
}

pub(crate) fn dimensions(file: &[u8]) -> Result<(u32, u32), Rejection> {
    let header = chunks(file).next().ok_or(Rejection::Damaged)?;
    if header.name != b"IHDR" || !header.is_intact() {
        return Err(Rejection::Damaged);
    }
    let (words, _) = header.data.as_chunks::<4>();
    match words {
        [width, height, ..] => Ok((u32::from_be_bytes(*width), u32::from_be_bytes(*height))),
        _ => Err(Rejection::Damaged),
    }
}

/// Copies the chunks needed for decoding, the colour information and the orientation. Drops damaged ancillary chunks,
/// data after the end of the compressed pixels and data after the end chunk, and adds a missing end chunk.
pub(crate) fn without_metadata(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    let names = || chunks(file).map(|chunk| chunk.name);
    // `check_complete` reads only the first frame, so it cannot detect missing frames.
    if names().any(|name| name == ANIMATION) && !names().any(|name| name == END) {
        return Err(Rejection::Damaged);
    }
    structural_copy(file)
}

/// Copies the same chunks as [`without_metadata`], but does not check the photo.
pub(crate) fn structural_copy(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    dimensions(file)?;
    let mut data_left = data_length(file).unwrap_or(usize::MAX);
    let mut cleaned = Vec::with_capacity(file.len());
    cleaned.extend_from_slice(&file[..SIGNATURE]);
    for chunk in chunks(file).take_while(|chunk| chunk.name != END) {
        if chunk.name == DATA && chunk.data.len() > data_left {
            if data_left > 0 {
                push(&mut cleaned, DATA, &chunk.data[..data_left]);
            }
            data_left = 0;
        } else if chunk.is_critical() || chunk.is_retained() {
            if chunk.name == DATA {
                data_left -= chunk.data.len();
            }
            cleaned.extend_from_slice(chunk.bytes);
        } else if chunk.name == EXIF
            && let Some(orientation) = orientation(chunk.data)
        {
            push(&mut cleaned, EXIF, &orientation.to_tiff());
        }
    }
    push(&mut cleaned, END, &[]);
    Ok(cleaned)
}

/// Returns the length of the compressed pixels in all data chunks, or `None` if the pixels are damaged.
fn data_length(file: &[u8]) -> Option<usize> {
    let before_end = || chunks(file).take_while(|chunk| chunk.name != END);
    let data = || before_end().filter(|chunk| chunk.name == DATA);
    if !data().all(|chunk| chunk.is_intact()) {
        return None;
    }
    zlib::stream_length(data().map(|chunk| chunk.data), max_decompressed_bytes(file)?)
}

/// Returns an upper bound on the size of the decompressed pixels, including the extra rows of an interlaced photo.
fn max_decompressed_bytes(file: &[u8]) -> Option<u64> {
    let (width, height) = dimensions(file).ok()?;
    let header = chunks(file).next()?.data;
    let channels = match header.get(9)? {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let row = (u64::from(width) * channels * u64::from(*header.get(8)?)).div_ceil(8) + 1;
    Some(row.saturating_mul(2 * u64::from(height)) + 64)
}

fn push(cleaned: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).expect("a short chunk");
    cleaned.extend_from_slice(&length.to_be_bytes());
    let start = cleaned.len();
    cleaned.extend_from_slice(name);
    cleaned.extend_from_slice(data);
    let checksum = crc32fast::hash(&cleaned[start..]);
    cleaned.extend_from_slice(&checksum.to_be_bytes());
}

/// Decodes the image row by row. Only the first frame of an animation is decoded.
pub(crate) fn check_complete(file: &[u8]) -> Result<(), Rejection> {
    let mut decoder = Decoder::new(Cursor::new(file));
    // Colour profiles are compressed, and one megabyte can expand to a gigabyte.
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    let mut reader = decoder.read_info().map_err(|_| Rejection::Damaged)?;
    if lacks_palette(reader.info()) {
        return Err(Rejection::Damaged);
    }
    while reader.next_row().map_err(|_| Rejection::Damaged)?.is_some() {}
    Ok(())
}

/// Returns whether the pixels are indexes into a palette that is missing or damaged.
fn lacks_palette(info: &Info<'_>) -> bool {
    let is_palette = |bytes: &[u8]| !bytes.is_empty() && bytes.len().is_multiple_of(3);
    info.color_type == ColorType::Indexed && !info.palette.as_deref().is_some_and(is_palette)
}
