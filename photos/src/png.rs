//! PNG (third edition of the specification), read with the decoder that Chromium uses.

use crate::exif::orientation;
use crate::rejection::Rejection;
use png::Decoder;
use std::io::Cursor;

const SIGNATURE: usize = 8;
/// Name, length and checksum.
const CHUNK_OVERHEAD: usize = 12;
/// Ancillary chunks that change how the pixels look, or animate them. All others may be metadata.
const RETAINED: [&[u8; 4]; 14] = [
    b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI", b"sBIT", b"bKGD",
    b"pHYs", b"acTL", b"fcTL", b"fdAT",
];
const EXIF: &[u8; 4] = b"eXIf";
const ANIMATION: &[u8; 4] = b"acTL";
const END: &[u8; 4] = b"IEND";

struct Chunk<'a> {
    name: &'a [u8; 4],
    data: &'a [u8],
    /// Length, name, data and checksum.
    bytes: &'a [u8],
}

impl Chunk<'_> {
    /// Decoders need these (5.4: the first letter is upper case).
    fn is_critical(&self) -> bool {
        self.name[0].is_ascii_uppercase()
    }

    fn is_intact(&self) -> bool {
        let (checked, checksum) = self.bytes[4..].split_at(4 + self.data.len());
        crc32fast::hash(checked).to_be_bytes() == checksum
    }
}

/// The complete chunks.
fn chunks(file: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = file.get(SIGNATURE..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        let (bytes, next) = rest.split_at_checked(length.checked_add(CHUNK_OVERHEAD)?)?;
        rest = next;
        Some(Chunk { name: bytes[4..].first_chunk()?, data: &bytes[8..8 + length], bytes })
    })
}

/// Width and height.
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

/// Copies what decoding needs, the colours and the orientation. Damaged ancillary chunks and data after the end are
/// dropped; a missing end is added.
pub(crate) fn without_metadata(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut cleaned = Vec::with_capacity(file.len());
    cleaned.extend_from_slice(&file[..SIGNATURE]);
    let (mut is_animated, mut has_end) = (false, false);
    for chunk in chunks(file) {
        is_animated |= chunk.name == ANIMATION;
        has_end = chunk.name == END;
        if has_end {
            break;
        }
        if chunk.is_critical() || (RETAINED.contains(&chunk.name) && chunk.is_intact()) {
            cleaned.extend_from_slice(chunk.bytes);
        } else if chunk.name == EXIF
            && let Some(orientation) = orientation(chunk.data)
        {
            push(&mut cleaned, EXIF, &orientation.to_tiff());
        }
    }
    // The checks of pixels read the first frame only.
    if is_animated && !has_end {
        return Err(Rejection::Damaged);
    }
    push(&mut cleaned, END, &[]);
    Ok(cleaned)
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

/// Decodes row by row. The further frames of an animation are not read.
pub(crate) fn check_complete(file: &[u8]) -> Result<(), Rejection> {
    let mut decoder = Decoder::new(Cursor::new(file));
    // Profiles are compressed: one megabyte can expand to a gigabyte.
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    let mut reader = decoder.read_info().map_err(|_| Rejection::Damaged)?;
    while reader.next_row().map_err(|_| Rejection::Damaged)?.is_some() {}
    Ok(())
}
