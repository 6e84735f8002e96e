//! Splits photos into segments or chunks, and joins them again.

use diagflow_photos::{Format, Rejection, check_and_clean, read_header};
use image::{ImageFormat, load_from_memory_with_format};
use std::fs;
use std::path::Path;

/// Reads a photo in `tests/found`.
pub(crate) fn found(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Checks a photo, and returns it without metadata.
pub(crate) fn inspect(file: &[u8]) -> Result<Vec<u8>, Rejection> {
    check_and_clean(file, read_header(file)?.format)
}

pub(crate) fn pixels(file: &[u8]) -> Vec<u8> {
    let format = match read_header(file).expect("a photo").format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::WebP => ImageFormat::WebP,
    };
    load_from_memory_with_format(file, format).expect("a photo").into_bytes()
}

pub(crate) fn contains(file: &[u8], text: &[u8]) -> bool {
    file.windows(text.len()).any(|window| window == text)
}

/// A segment of a JPEG. Only a scan has data.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Segment {
    pub(crate) marker: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Segment {
    pub(crate) fn new(marker: u8, payload: &[u8]) -> Self {
        Self { marker, payload: payload.to_vec(), data: Vec::new() }
    }
}

/// Returns the segments between the start marker and the end marker.
pub(crate) fn segments(file: &[u8]) -> Vec<Segment> {
    let mut rest = file.strip_prefix(&[0xFF, 0xD8]).expect("a JPEG");
    let mut segments = Vec::new();
    while let [0xFF, marker, high, low, ..] = *rest
        && marker != 0xD9
    {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let mut segment = Segment::new(marker, &rest[4..2 + length]);
        rest = &rest[2 + length..];
        if marker == 0xDA {
            let ends = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7);
            let end = rest.windows(2).position(ends).expect("an end marker");
            segment.data = rest[..end].to_vec();
            rest = &rest[end..];
        }
        segments.push(segment);
    }
    segments
}

pub(crate) fn jpeg(segments: &[Segment]) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8];
    for Segment { marker, payload, data } in segments {
        let length = u16::try_from(payload.len() + 2).expect("a short segment");
        file.extend_from_slice(&[0xFF, *marker]);
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(payload);
        file.extend_from_slice(data);
    }
    file.extend_from_slice(&[0xFF, 0xD9]);
    file
}

pub(crate) type Chunk = ([u8; 4], Vec<u8>);

pub(crate) fn png_chunks(file: &[u8]) -> Vec<Chunk> {
    let mut rest = &file[8..];
    let mut chunks = Vec::new();
    while let Some(length) = rest.first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let name = *rest[4..].first_chunk().expect("a name");
        chunks.push((name, rest[8..8 + length].to_vec()));
        rest = &rest[12 + length..];
    }
    chunks
}

pub(crate) fn png(chunks: &[Chunk]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
    for (name, data) in chunks {
        let length = u32::try_from(data.len()).expect("a short chunk");
        file.extend_from_slice(&length.to_be_bytes());
        let checked = [&name[..], data].concat();
        file.extend_from_slice(&checked);
        file.extend_from_slice(&crc32fast::hash(&checked).to_be_bytes());
    }
    file
}

pub(crate) fn webp_chunks(file: &[u8]) -> Vec<Chunk> {
    let mut rest = &file[12..];
    let mut chunks = Vec::new();
    while let Some(name) = rest.first_chunk() {
        let length = u32::from_le_bytes(*rest[4..].first_chunk().expect("a length")) as usize;
        chunks.push((*name, rest[8..8 + length].to_vec()));
        rest = &rest[8 + length + length % 2..];
    }
    chunks
}

pub(crate) fn webp(chunks: &[Chunk]) -> Vec<u8> {
    let mut content = b"WEBP".to_vec();
    for (name, data) in chunks {
        let length = u32::try_from(data.len()).expect("a short chunk");
        content.extend_from_slice(name);
        content.extend_from_slice(&length.to_le_bytes());
        content.extend_from_slice(data);
        content.resize(content.len().next_multiple_of(2), 0);
    }
    let length = u32::try_from(content.len()).expect("a short file");
    [b"RIFF", &length.to_le_bytes()[..], &content].concat()
}
