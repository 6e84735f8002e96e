//! A submission as it was sent, before validation. It can contain invalid values, so that all errors can be reported
//! at once.

use bytes::Bytes;
use std::borrow::Cow;

/// Images beyond this number are counted but not stored.
pub(crate) const MAX_IMAGES: usize = 100;

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
}

#[derive(Debug, Default)]
pub(crate) struct DraftImages<'a> {
    /// At most [`MAX_IMAGES`] images.
    pub(crate) list: Vec<DraftImage<'a>>,
    pub(crate) count: usize,
    pub(crate) not_a_list: bool,
}

impl<'a> DraftImages<'a> {
    pub(crate) fn push(&mut self, image: DraftImage<'a>) {
        self.count += 1;
        if self.list.len() < MAX_IMAGES {
            self.list.push(image);
        }
    }
}

#[derive(Debug)]
pub(crate) struct DraftImage<'a> {
    pub(crate) name: DraftValue<'a>,
    /// The media type that the sender declares.
    pub(crate) declared: DraftValue<'a>,
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
