//! WebP (RFC 9649).

use crate::exif::{Orientation, orientation};
use crate::rejection::Rejection;
use image_webp::WebPDecoder;
use std::io::Cursor;

/// "RIFF", the size of the rest, "WEBP".
const HEADER: usize = 12;
const CHUNK_HEADER: usize = 8;
/// Flags of `VP8X`.
const HAS_PROFILE: u8 = 0x20;
const HAS_EXIF: u8 = 0x08;
const HAS_XMP: u8 = 0x04;
/// All others may be metadata.
const RETAINED: [&[u8; 4]; 7] = [b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"];
const IN_FRAMES: [&[u8; 4]; 3] = [b"ALPH", b"VP8 ", b"VP8L"];
/// Position, size, duration and flags of a frame.
const FRAME_HEADER: usize = 16;
const EXTENDED: &[u8; 4] = b"VP8X";
const FRAME: &[u8; 4] = b"ANMF";
const PROFILE: &[u8; 4] = b"ICCP";
const EXIF: &[u8; 4] = b"EXIF";

struct Chunk<'a> {
    name: &'a [u8; 4],
    data: &'a [u8],
    is_complete: bool,
}

/// The length of the file by its header.
fn declared_length(file: &[u8]) -> usize {
    let size = file.get(4..).and_then(|it| it.first_chunk());
    size.map_or(0, |size| CHUNK_HEADER.saturating_add(u32::from_le_bytes(*size) as usize))
}

fn chunks(file: &[u8]) -> impl Iterator<Item = Result<Chunk<'_>, Rejection>> {
    chunks_in(file, HEADER, declared_length(file))
}

/// The chunks from `at` to `end`, which may be behind the end of the file.
fn chunks_in(
    file: &[u8],
    mut at: usize,
    end: usize,
) -> impl Iterator<Item = Result<Chunk<'_>, Rejection>> {
    std::iter::from_fn(move || {
        let name = file.get(at..end.min(file.len()))?.first_chunk()?;
        let length = u32::from_le_bytes(*file.get(at + 4..)?.first_chunk()?) as usize;
        let start = at + CHUNK_HEADER;
        // Some encoders leave out the last padding byte.
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

/// Width and height.
pub(crate) fn dimensions(file: &[u8]) -> Result<(u32, u32), Rejection> {
    let Chunk { name, data, .. } = chunks(file).next().ok_or(Rejection::Damaged)??;
    if name == EXTENDED {
        return Ok((u24(data, 4)? + 1, u24(data, 7)? + 1));
    }
    picture_dimensions(name, data)?.ok_or(Rejection::Damaged)
}

fn u24(data: &[u8], at: usize) -> Result<u32, Rejection> {
    let bytes = data.get(at..).and_then(|it| it.first_chunk::<3>()).ok_or(Rejection::Damaged)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
}

/// Width and height of the pixels in a chunk; `None` if it has no pixels.
fn picture_dimensions(name: &[u8; 4], data: &[u8]) -> Result<Option<(u32, u32)>, Rejection> {
    match name {
        // Behind the frame tag and the start code (RFC 6386, 9.1), without the two bits of the scale.
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

/// A frame of an animation, without chunks that may be metadata. Decoders allocate memory by the size in its chunk of
/// pixels, so that has to be the declared one.
fn cleaned_frame(data: &[u8], canvas: (u32, u32)) -> Result<Vec<u8>, Rejection> {
    let (x, y) = (2 * u24(data, 0)?, 2 * u24(data, 3)?);
    let size = (u24(data, 6)? + 1, u24(data, 9)? + 1);
    if x + size.0 > canvas.0 || y + size.1 > canvas.1 {
        return Err(Rejection::Damaged);
    }
    let mut cleaned = data.get(..FRAME_HEADER).ok_or(Rejection::Damaged)?.to_vec();
    for chunk in chunks_in(data, FRAME_HEADER, data.len()) {
        let Chunk { name, data, .. } = chunk?;
        if picture_dimensions(name, data)?.is_some_and(|picture| picture != size) {
            return Err(Rejection::Damaged);
        }
        if IN_FRAMES.contains(&name) {
            push(&mut cleaned, name, data);
        }
    }
    Ok(cleaned)
}

/// Copies what decoding needs, the colour profile and the orientation. Corrects the flags of the header.
pub(crate) fn without_metadata(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    let mut cleaned = Vec::with_capacity(file.len());
    cleaned.extend_from_slice(b"RIFF\0\0\0\0WEBP");
    let canvas = dimensions(file)?;
    let (mut extended, mut flags) = (None, 0);
    let mut turned: Option<Orientation> = None;
    for chunk in chunks(file) {
        let Chunk { name, data, is_complete } = chunk?;
        if name == EXIF {
            turned = turned.or_else(|| orientation(data));
        }
        if !RETAINED.contains(&name) {
            continue;
        }
        if !is_complete {
            return Err(Rejection::Damaged);
        }
        // The number of frames is not declared. One byte of padding may be missing.
        if name == FRAME && file.len() + 1 < declared_length(file) {
            return Err(Rejection::Damaged);
        }
        if picture_dimensions(name, data)?.is_some_and(|picture| picture != canvas) {
            return Err(Rejection::Damaged);
        }
        if name == FRAME {
            push(&mut cleaned, name, &cleaned_frame(data, canvas)?);
            continue;
        }
        if name == EXTENDED {
            extended = Some(cleaned.len() + CHUNK_HEADER);
        } else if name == PROFILE {
            flags |= HAS_PROFILE;
        }
        push(&mut cleaned, name, data);
    }
    if let Some(turned) = turned.filter(|_| extended.is_some()) {
        flags |= HAS_EXIF;
        push(&mut cleaned, EXIF, &turned.to_tiff());
    }
    if let Some(byte) = extended.and_then(|at| cleaned.get_mut(at)) {
        *byte = *byte & !(HAS_PROFILE | HAS_EXIF | HAS_XMP) | flags;
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

/// Decodes the photo, or the first frame of an animation. `file` is what [`without_metadata`] returns, so that its sizes
/// are checked.
pub(crate) fn check_complete(file: &[u8]) -> Result<(), Rejection> {
    // A defect of the decoder must not become an error of the API.
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
