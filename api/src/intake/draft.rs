//! A submission as received, before validation. It may contain invalid values, so that all errors can be reported at
//! once.

use bytes::Bytes;
use diagflow_store::truncated;
use std::borrow::Cow;

/// Images beyond this number are counted but not stored.
pub(crate) const MAX_IMAGES: usize = 100;

/// Unknown fields beyond this number are not reported.
const MAX_UNKNOWN_FIELDS: usize = 10;
const MAX_FIELD_NAME_CHARS: usize = 64;

/// Whether a field holds images: its name is `images` or `image`, possibly followed by the brackets that PHP, Rails and
/// form libraries append to list names (`images[]`, `images[0]`).
pub(crate) fn is_image_field(name: &str) -> bool {
    let Some(brackets) = brackets(name) else { return false };
    let index = in_brackets(brackets);
    brackets.is_empty()
        || index.is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the part of an image field's name that follows `image` or `images`.
fn brackets(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("image")?;
    Some(rest.strip_prefix('s').unwrap_or(rest))
}

fn in_brackets(brackets: &str) -> Option<&str> {
    brackets.strip_prefix('[')?.strip_suffix(']')
}

/// Returns the number in the name of an image field, such as 2 in `images[2]`.
fn image_number(name: &str) -> Option<u64> {
    let digits = in_brackets(brackets(name)?).filter(|digits| !digits.is_empty())?;
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// Whether a text is a `data:` URL, which is how browsers encode a file as text.
pub(crate) fn is_data_url(text: &[u8]) -> bool {
    text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
}

#[derive(Debug, Default)]
pub(crate) enum DraftValue<'a> {
    /// The value is absent or null.
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
    /// Only in forms. JSON requests send the header.
    pub(crate) idempotency_key: DraftValue<'a>,
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

/// A field with an unknown name that holds images or may have been meant for images.
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
    /// Position of the next image whose field has no number.
    pub(crate) next_place: u64,
    /// Whether an image field has a value that is neither an image nor a list.
    pub(crate) not_a_list: bool,
}

impl<'a> DraftImages<'a> {
    /// Adds an image from a list.
    pub(crate) fn push(&mut self, image: DraftImage<'a>) {
        self.count += 1;
        if self.list.len() < MAX_IMAGES {
            self.list.push(image);
        }
    }

    /// Adds the images from a field.
    pub(crate) fn extend(&mut self, field: &str, images: Self) {
        let place = image_number(field).unwrap_or(self.next_place);
        self.next_place = self.next_place.max(place.saturating_add(1));
        self.count += images.count;
        self.not_a_list |= images.not_a_list;
        self.list.extend(images.list.into_iter().map(|image| DraftImage { place, ..image }));
        self.list.truncate(MAX_IMAGES);
    }

    /// Returns the images in the order of their field numbers (`images[1]` follows `images[0]`, even if `images[1]` was
    /// sent first). As in PHP, an image without a number follows all images sent before it.
    pub(crate) fn in_order(mut self) -> Vec<DraftImage<'a>> {
        self.list.sort_by_key(|image| image.place);
        self.list
    }
}

impl<'a> From<DraftImage<'a>> for DraftImages<'a> {
    fn from(image: DraftImage<'a>) -> Self {
        Self { list: vec![image], count: 1, ..Self::default() }
    }
}

#[derive(Debug)]
pub(crate) struct DraftImage<'a> {
    pub(crate) name: DraftValue<'a>,
    pub(crate) content: Content<'a>,
    /// Position derived from the image's field name.
    place: u64,
}

impl<'a> DraftImage<'a> {
    pub(crate) fn new(name: DraftValue<'a>, content: Content<'a>) -> Self {
        Self { name, content, place: 0 }
    }
}

#[derive(Debug)]
pub(crate) enum Content<'a> {
    Bytes(Bytes),
    /// Base64 or a `data:` URL.
    Text(Cow<'a, str>),
    /// The image exceeds the limit, and its bytes were discarded.
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
    fn common_image_field_names_are_recognised() {
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

    #[test]
    fn images_are_sorted_by_their_field_numbers() {
        let order = |fields: &[&str]| {
            let mut images = DraftImages::default();
            for field in fields {
                let name = DraftValue::Text(Cow::Owned((*field).to_owned()));
                images.extend(field, DraftImage::new(name, Content::None).into());
            }
            let names = images.in_order().into_iter().map(|image| image.name);
            names.map(|name| name.text().expect("a name").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(order(&["images[1]", "images[0]"]), ["images[0]", "images[1]"]);
        assert_eq!(order(&["images[10]", "images[9]"]), ["images[9]", "images[10]"]);
        let huge = "images[99999999999999999999999]";
        assert_eq!(order(&[huge, "images", "images[2]"]), ["images[2]", huge, "images"]);
        let mixed = ["images[1]", "images[]", "images[0]", "image"];
        assert_eq!(order(&mixed), ["images[0]", "images[1]", "images[]", "image"]);
    }
}
