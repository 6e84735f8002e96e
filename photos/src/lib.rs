//! Patients' photos: the check of a received file, and the removal of its metadata.
//!
//! A JPEG, PNG or WebP that a current browser displays completely is accepted. Everything else is refused with a
//! sentence that says what it is and what the patient can do. What the sender declares does not count.
//!
//! Photos are inspected without their pixels, as far as the format allows: of a JPEG only the Huffman codes are read,
//! of a PNG one row at a time. A WebP has to be decoded ([`Header::decoded_bytes`]).

mod exif;
mod format;
mod jpeg;
mod other_kinds;
mod png;
mod rejection;
mod webp;

pub use format::Format;
pub use other_kinds::OtherKind;
pub use rejection::Rejection;

/// What the first bytes of a photo declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    /// In pixels, before the orientation is applied.
    pub width: u32,
    /// In pixels, before the orientation is applied.
    pub height: u32,
}

impl Header {
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Bytes of memory that [`check_and_clean`] needs besides a copy of the file.
    pub fn decoded_bytes(self) -> u64 {
        match self.format {
            // One bit for each coefficient of a progressive JPEG with four components in full resolution.
            Format::Jpeg => self.pixels() / 2,
            Format::Png => u64::from(self.width) * 16,
            // The canvas, the frame and the output of an animation, with four bytes per pixel each.
            Format::WebP => self.pixels() * 12,
        }
    }
}

/// Identifies a file by its first bytes.
///
/// # Errors
/// Fails for other kinds of files, for kinds of JPEG that browsers do not display, and for damaged headers.
pub fn read_header(file: &[u8]) -> Result<Header, Rejection> {
    let format = format::detect(file)?;
    let (width, height) = match format {
        Format::Jpeg => jpeg::dimensions(file)?,
        Format::Png => png::dimensions(file)?,
        Format::WebP => webp::dimensions(file)?,
    };
    if width == 0 || height == 0 {
        return Err(Rejection::Damaged);
    }
    Ok(Header { format, width, height })
}

/// The photo without location, owner, device, comments, thumbnails, and whatever phones append to it. The pixels are
/// the same bytes; orientation and colour profile stay.
///
/// # Errors
/// Fails if the structure of the file is damaged.
pub fn without_metadata(file: &[u8], format: Format) -> Result<Vec<u8>, Rejection> {
    match format {
        Format::Jpeg => jpeg::without_metadata(file),
        Format::Png => png::without_metadata(file),
        Format::WebP => webp::without_metadata(file),
    }
}

/// Like [`without_metadata`], for a photo that was just received: also checks that all pixels are there.
///
/// # Errors
/// Fails for a truncated or damaged photo.
pub fn check_and_clean(file: &[u8], format: Format) -> Result<Vec<u8>, Rejection> {
    let cleaned = without_metadata(file, format)?;
    match format {
        // The cleaned photo always has an end marker.
        Format::Jpeg => jpeg::check_complete(file),
        Format::Png => png::check_complete(&cleaned),
        Format::WebP => webp::check_complete(&cleaned),
    }?;
    Ok(cleaned)
}
