//! Cleans and checks WebP files (RFC 9649).

use crate::exif::{Orientation, orientation};
use crate::rejection::Rejection;
use image_webp::WebPDecoder;
use std::io::Cursor;

/// Length of the file header: `RIFF`, the size of the rest, and `WEBP`.
const HEADER: usize = 12;
const CHUNK_HEADER: usize = 8;
/// Flags of the chunk `VP8X`.
const HAS_PROFILE: u8 = 0x20;
const HAS_ALPHA: u8 = 0x10;
const HAS_EXIF: u8 = 0x08;
const HAS_XMP: u8 = 0x04;
const IS_ANIMATED: u8 = 0x02;
/// Chunks that are retained, and the maximum lengths of their data. All other chunks may be metadata, and so may any
/// data beyond the maximum length.
const RETAINED: [(&[u8; 4], usize); 7] = [
    (b"VP8X", 10),
    (b"ICCP", usize::MAX),
    (b"ANIM", 6),
    (b"ANMF", usize::MAX),
    (b"ALPH", usize::MAX),
    (b"VP8 ", usize::MAX),
    (b"VP8L", usize::MAX),
];
/// Maximum width and height that the decoder supports for a lossless photo without an extended header. Encoders have
/// the same limit, although the format allows one pixel more.
const MAX_LOSSLESS_SIDE: u32 = 16_383;
const IN_FRAMES: [&[u8; 4]; 3] = [b"ALPH", b"VP8 ", b"VP8L"];
/// Length of a frame header: position, size, duration and flags.
const FRAME_HEADER: usize = 16;
const EXTENDED: &[u8; 4] = b"VP8X";
const FRAME: &[u8; 4] = b"ANMF";
const PROFILE: &[u8; 4] = b"ICCP";
const ALPHA: &[u8; 4] = b"ALPH";
const LOSSY: &[u8; 4] = b"VP8 ";
const LOSSLESS: &[u8; 4] = b"VP8L";
const EXIF: &[u8; 4] = b"EXIF";

struct Chunk<'a> {
    name: &'a [u8; 4],
    data: &'a [u8],
    is_complete: bool,
}

/// Returns the file length declared in the header.
fn declared_length(file: &[u8]) -> usize {
    let size = file.get(4..).and_then(|it| it.first_chunk());
    size.map_or(0, |size| CHUNK_HEADER.saturating_add(u32::from_le_bytes(*size) as usize))
}

fn chunks(file: &[u8]) -> impl Iterator<Item = Result<Chunk<'_>, Rejection>> {
    chunks_in(file, HEADER, declared_length(file))
}

/// Returns the chunks from `at` to `end`. `end` may lie beyond the end of the file.
fn chunks_in(
    file: &[u8],
    mut at: usize,
    end: usize,
) -> impl Iterator<Item = Result<Chunk<'_>, Rejection>> {
    std::iter::from_fn(move || {
        let name = file.get(at..end.min(file.len()))?.first_chunk()?;
        let length = u32::from_le_bytes(*file.get(at + 4..)?.first_chunk()?) as usize;
        let start = at + CHUNK_HEADER;
        // Some encoders omit the last padding byte.
        at = start.saturating_add(length).saturating_add(length % 2);
        let data_end = start.saturating_add(length);
        if data_end > end {
            at = file.len();
            return Some(Err(Rejection::Damaged));
        }
        let data = &file[start.min(file.len())..data_end.min(file.len())];
        Some(Ok(Chunk { name, data, is_complete: data.len() == length }))
    })
}

pub(crate) fn dimensions(file: &[u8]) -> Result<(u32, u32), Rejection> {
    let Chunk { name, data, .. } = chunks(file).next().ok_or(Rejection::Damaged)??;
    if name == EXTENDED {
        return Ok((u24(data, 4)? + 1, u24(data, 7)? + 1));
    }
    let (width, height) = picture_dimensions(name, data)?.ok_or(Rejection::Damaged)?;
    if name == LOSSLESS && width.max(height) > MAX_LOSSLESS_SIDE {
        return Err(Rejection::TooLarge);
    }
    Ok((width, height))
}

fn u24(data: &[u8], at: usize) -> Result<u32, Rejection> {
    let bytes = data.get(at..).and_then(|it| it.first_chunk::<3>()).ok_or(Rejection::Damaged)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
}

/// Returns the width and height of the image in a chunk, or `None` if the chunk contains no pixels.
fn picture_dimensions(name: &[u8; 4], data: &[u8]) -> Result<Option<(u32, u32)>, Rejection> {
    match name {
        // The size follows the frame tag and the start code (RFC 6386, section 9.1). The upper two bits are the scale.
        b"VP8 " => {
            let bytes = data.get(6..).and_then(|it| it.first_chunk::<4>());
            let &[w0, w1, h0, h1] = bytes.ok_or(Rejection::Damaged)?;
            let size = |low, high| u32::from(u16::from_le_bytes([low, high])) & 0x3FFF;
            Ok(Some((size(w0, w1), size(h0, h1))))
        }
        b"VP8L" => {
            let header = data.get(1..).and_then(|it| it.first_chunk());
            let header = u32::from_le_bytes(*header.ok_or(Rejection::Damaged)?);
            Ok(Some(((header & 0x3FFF) + 1, ((header >> 14) & 0x3FFF) + 1)))
        }
        _ => Ok(None),
    }
}

/// Returns an upper bound on the number of bytes that [`check_complete`] needs per pixel. An output pixel takes up 3
/// bytes, or 4 with an alpha channel.
pub(crate) fn bytes_per_pixel(file: &[u8]) -> u64 {
    let chunks = chunks(file).map_while(Result::ok);
    let needed = chunks.map(|Chunk { name, data, .. }| match (name, data.first()) {
        // Memory for the output, the canvas, and a frame with an alpha channel and lossless tables.
        (EXTENDED, Some(flags)) if flags & IS_ANIMATED != 0 => 13,
        // Memory for the output, the colour planes, and the alpha channel, which is decoded as four channels and
        // reduced to one.
        (b"ALPH", _) => 11,
        // Memory for the output without an alpha channel, four channels, and tables.
        (b"VP8L", _) => 8,
        // Memory for the output and the colour planes.
        _ => 6,
    });
    needed.max().unwrap_or(0)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Checks {
    All,
    /// The copy may be incomplete, and its sizes may not match.
    None,
}

/// Returns a frame of an animation without chunks that may be metadata. Decoders allocate memory based on the size in
/// the frame's pixel chunk, so that size must match the declared size.
fn cleaned_frame(data: &[u8], canvas: (u32, u32), checks: Checks) -> Result<Vec<u8>, Rejection> {
    let (x, y) = (2 * u24(data, 0)?, 2 * u24(data, 3)?);
    let size = (u24(data, 6)? + 1, u24(data, 9)? + 1);
    let fits = x + size.0 <= canvas.0 && y + size.1 <= canvas.1;
    let mut cleaned = data.get(..FRAME_HEADER).ok_or(Rejection::Damaged)?.to_vec();
    let chunks = chunks_in(data, FRAME_HEADER, data.len());
    for chunk in chunks.take_while(|chunk| checks == Checks::All || chunk.is_ok()) {
        let Chunk { name, data, .. } = chunk?;
        let matches = picture_dimensions(name, data)?.is_none_or(|picture| picture == size);
        if checks == Checks::All && !(fits && matches) {
            return Err(Rejection::Damaged);
        }
        if IN_FRAMES.contains(&name) {
            push(&mut cleaned, name, data);
        }
    }
    Ok(cleaned)
}

/// Copies the chunks needed for decoding, the colour profile and the orientation, and corrects the flags in the header.
pub(crate) fn without_metadata(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    let canvas = dimensions(file)?;
    for chunk in chunks(file) {
        let Chunk { name, data, is_complete } = chunk?;
        // WebP does not declare the number of frames, so a file that is shorter than declared may lack frames. A
        // missing padding byte is allowed.
        let lacks_frames = name == FRAME && file.len() + 1 < declared_length(file);
        let is_retained = RETAINED.iter().any(|(retained, _)| *retained == name);
        let matches = picture_dimensions(name, data)?.is_none_or(|picture| picture == canvas);
        if is_retained && (!is_complete || lacks_frames || !matches) {
            return Err(Rejection::Damaged);
        }
    }
    copy(file, canvas, Checks::All)
}

/// Copies the same chunks as [`without_metadata`], but does not check the photo.
pub(crate) fn structural_copy(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    copy(file, dimensions(file)?, Checks::None)
}

fn copy(file: &[u8], canvas: (u32, u32), checks: Checks) -> Result<Vec<u8>, Rejection> {
    let mut cleaned = Vec::with_capacity(file.len());
    cleaned.extend_from_slice(b"RIFF\0\0\0\0WEBP");
    let (mut extended, mut flags) = (None, 0);
    let mut turned: Option<Orientation> = None;
    let (mut has_alpha, mut is_lossy) = (false, false);
    for Chunk { name, data, .. } in chunks(file).map_while(Result::ok) {
        if name == EXIF {
            turned = turned.or_else(|| orientation(data));
        }
        let Some((_, max)) = RETAINED.iter().find(|(retained, _)| *retained == name) else {
            continue;
        };
        if name == FRAME {
            push(&mut cleaned, name, &cleaned_frame(data, canvas, checks)?);
            continue;
        }
        if name == EXTENDED {
            extended = Some(cleaned.len() + CHUNK_HEADER);
        } else if name == PROFILE {
            flags |= HAS_PROFILE;
        }
        has_alpha |= name == ALPHA;
        is_lossy |= name == LOSSY;
        push(&mut cleaned, name, &data[..data.len().min(*max)]);
    }
    if let Some(turned) = turned.filter(|_| extended.is_some()) {
        flags |= HAS_EXIF;
        push(&mut cleaned, EXIF, &turned.to_tiff());
    }
    if let Some(byte) = extended.and_then(|at| cleaned.get_mut(at)) {
        *byte = *byte & !(HAS_PROFILE | HAS_EXIF | HAS_XMP) | flags;
        // Some programs remove the alpha channel but leave its flag set.
        if is_lossy && !has_alpha && *byte & IS_ANIMATED == 0 {
            *byte &= !HAS_ALPHA;
        }
    }
    let size = u32::try_from(cleaned.len() - CHUNK_HEADER).map_err(|_| Rejection::Damaged)?;
    cleaned[4..8].copy_from_slice(&size.to_le_bytes());
    Ok(cleaned)
}

fn push(cleaned: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).expect("a part of a smaller file");
    cleaned.extend_from_slice(name);
    cleaned.extend_from_slice(&length.to_le_bytes());
    cleaned.extend_from_slice(data);
    if data.len() % 2 == 1 {
        cleaned.push(0);
    }
}

/// Decodes the photo, or the first frame of an animation. `file` must come from [`without_metadata`], which checks all
/// sizes.
pub(crate) fn check_complete(file: &[u8]) -> Result<(), Rejection> {
    // A panic in the decoder must not cause an internal server error.
    let decoded = std::panic::catch_unwind(|| decode(file));
    decoded.unwrap_or(Err(Rejection::Damaged))
}

fn decode(file: &[u8]) -> Result<(), Rejection> {
    let damaged = |_| Rejection::Damaged;
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(damaged)?;
    let size = decoder.output_buffer_size().ok_or(Rejection::Damaged)?;
    let mut pixels = vec![0; size];
    if decoder.is_animated() {
        decoder.read_frame(&mut pixels).map(|_| ()).map_err(damaged)
    } else {
        decoder.read_image(&mut pixels).map_err(damaged)
    }
}
