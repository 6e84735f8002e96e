//! A submission as it was sent, before validation. It can contain invalid values, so that all errors can be reported
//! at once.

use bytes::Bytes;
use diagflow_store::truncated;
use std::borrow::Cow;

/// Images beyond this number are counted but not stored.
pub(crate) const MAX_IMAGES: usize = 100;

/// Unknown fields beyond this number are not reported.
const MAX_UNKNOWN_FIELDS: usize = 10;
const MAX_FIELD_NAME_CHARS: usize = 64;

/// Whether a field holds images: `images` or `image`, also with the brackets that PHP, Rails and libraries for forms
/// append to the names of lists (`images[]`, `images[0]`).
pub(crate) fn is_image_field(name: &str) -> bool {
    let Some(brackets) =
        name.strip_prefix("image").map(|rest| rest.strip_prefix('s').unwrap_or(rest))
    else {
        return false;
    };
    let index = brackets.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    brackets.is_empty()
        || index.is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a text is a `data:` URL, which browsers make of files.
pub(crate) fn is_data_url(text: &[u8]) -> bool {
    text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
}

#[derive(Debug, Default)]
pub(crate) enum DraftValue<'a> {
    /// Absent or null.
    #[default]
    Missing,
    Text(Cow<'a, str>),
    Flag(bool),
    Other,
}

impl<'a> DraftValue<'a> {
    /// The trimmed text, if it is not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.trim().is_empty() => Some(text.trim()),
            _ => None,
        }
    }

    /// Whether a JSON boolean is true or a form's checkbox is checked.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Flag(flag) => *flag,
            Self::Text(text) => {
                let accepted = ["true", "on", "1", "yes"];
                accepted.iter().any(|word| text.trim().eq_ignore_ascii_case(word))
            }
            _ => false,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) email: DraftValue<'a>,
    pub(crate) comments: DraftValue<'a>,
    pub(crate) consent: DraftValue<'a>,
    pub(crate) consent_version: DraftValue<'a>,
    pub(crate) images: DraftImages<'a>,
    /// At most [`MAX_UNKNOWN_FIELDS`] fields.
    pub(crate) unknown: Vec<UnknownField>,
}

impl Draft<'_> {
    pub(crate) fn add_unknown(&mut self, name: &str, holds_file: bool) {
        if self.unknown.len() < MAX_UNKNOWN_FIELDS {
            self.unknown
                .push(UnknownField { name: truncated(name, MAX_FIELD_NAME_CHARS), holds_file });
        }
    }
}

/// A field with an unknown name that holds images, or that may be meant to.
#[derive(Debug)]
pub(crate) struct UnknownField {
    pub(crate) name: String,
    pub(crate) holds_file: bool,
}

#[derive(Debug, Default)]
pub(crate) struct DraftImages<'a> {
    /// At most [`MAX_IMAGES`] images.
    pub(crate) list: Vec<DraftImage<'a>>,
    pub(crate) count: usize,
    /// Whether a field for images has a value that is neither an image nor a list.
    pub(crate) not_a_list: bool,
}

impl<'a> DraftImages<'a> {
    pub(crate) fn push(&mut self, image: DraftImage<'a>) {
        self.count += 1;
        if self.list.len() < MAX_IMAGES {
            self.list.push(image);
        }
    }

    pub(crate) fn extend(&mut self, images: Self) {
        self.count += images.count;
        self.not_a_list |= images.not_a_list;
        self.list.extend(images.list);
        self.list.truncate(MAX_IMAGES);
    }
}

#[derive(Debug)]
pub(crate) struct DraftImage<'a> {
    pub(crate) name: DraftValue<'a>,
    pub(crate) content: Content<'a>,
}

#[derive(Debug)]
pub(crate) enum Content<'a> {
    Bytes(Bytes),
    /// Base64 or a `data:` URL.
    Text(Cow<'a, str>),
    /// The bytes were discarded.
    TooLarge,
    /// The content is missing or is not text.
    None,
    /// A reference to an uploaded file, which is not supported.
    FileId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_fields_have_common_names() {
        for name in
            ["images", "image", "images[]", "images[0]", "images[12]", "image[]", "image[3]"]
        {
            assert!(is_image_field(name), "{name}");
        }
        for name in
            ["imagess", "images[", "images]", "images[a]", "images[0][data]", "photo", "Images", ""]
        {
            assert!(!is_image_field(name), "{name}");
        }
    }
}
