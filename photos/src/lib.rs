//! Checks patients' photos and removes their metadata.
//!
//! A JPEG, PNG or WebP image is accepted if a current browser displays it completely. Any other file is refused with a
//! message that states what it is and what the patient can do. The declared media type is ignored.
//!
//! Photos are decoded only as far as their format requires. For a JPEG, only the Huffman codes are read. A PNG is
//! decoded one row at a time. A WebP has to be decoded completely ([`Header::decoding_bytes`]).

mod exif;
mod format;
mod jpeg;
mod other_kinds;
mod png;
mod rejection;
mod webp;
mod zlib;

pub use format::Format;
pub use other_kinds::OtherKind;
pub use rejection::Rejection;

/// Format and size declared in a photo's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    /// Width in pixels before the orientation is applied.
    pub width: u32,
    /// Height in pixels before the orientation is applied.
    pub height: u32,
    /// Bytes of memory that [`check_and_clean`] needs in addition to two copies of the file.
    pub decoding_bytes: u64,
}

impl Header {
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// Reads the format and the size of a photo.
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
    let pixels = u64::from(width) * u64::from(height);
    let decoding_bytes = match format {
        // A progressive JPEG with four components at full resolution needs one bit for each coefficient.
        Format::Jpeg => pixels / 2,
        Format::Png => u64::from(width) * 16,
        Format::WebP => pixels * webp::bytes_per_pixel(file),
    };
    Ok(Header { format, width, height, decoding_bytes })
}

/// Returns the photo without its metadata: location, owner, device, comments, thumbnails and data appended by phones.
/// The encoded pixels, the orientation and the colour profile are retained unchanged.
///
/// # Errors
/// Fails if the structure of the file is damaged, a JPEG is incomplete, or an animation lacks frames.
pub fn without_metadata(file: &[u8], format: Format) -> Result<Vec<u8>, Rejection> {
    match format {
        Format::Jpeg => jpeg::without_metadata(file),
        Format::Png => png::without_metadata(file),
        Format::WebP => webp::without_metadata(file),
    }
}

/// Returns the photo without its metadata, like [`without_metadata`], but does not check whether the photo is damaged
/// or incomplete. Intended for stored photos, because earlier versions accepted some photos that would be refused now.
///
/// # Errors
/// Fails if no pixels can be found in the file.
pub fn structural_copy(file: &[u8], format: Format) -> Result<Vec<u8>, Rejection> {
    match format {
        Format::Jpeg => jpeg::structural_copy(file),
        Format::Png => png::structural_copy(file),
        Format::WebP => webp::structural_copy(file),
    }
}

/// Removes the metadata of a received photo, and checks that no pixels are missing.
///
/// # Errors
/// Fails for a truncated or damaged photo.
pub fn check_and_clean(file: &[u8], format: Format) -> Result<Vec<u8>, Rejection> {
    let cleaned = without_metadata(file, format)?;
    match format {
        // `without_metadata` has already read all codes to find the end of the photo.
        Format::Jpeg => Ok(()),
        Format::Png => png::check_complete(&cleaned),
        Format::WebP => webp::check_complete(&cleaned),
    }?;
    Ok(cleaned)
}
