//! A submission as it came, whatever it came as: nothing is checked yet, so that everything that is
//! wrong can be said at once.

use bytes::Bytes;
use std::borrow::Cow;

/// Most images that are looked at one by one; those beyond are only counted.
pub(crate) const MAX_IMAGES: usize = 100;

/// A value that ought to be text.
#[derive(Debug, Default)]
pub(crate) enum DraftValue<'a> {
    /// Not there, or null: the same.
    #[default]
    Missing,
    /// Text.
    Text(Cow<'a, str>),
    /// `true` or `false`.
    Flag(bool),
    /// Anything else.
    Other,
}

impl<'a> DraftValue<'a> {
    /// The text, when there is one and it says something.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.trim().is_empty() => Some(text.trim()),
            _ => None,
        }
    }

    /// Whether this says yes, the way JSON or a form says it.
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

/// A submission as it came.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) email: DraftValue<'a>,
    pub(crate) comments: DraftValue<'a>,
    pub(crate) consent: DraftValue<'a>,
    pub(crate) consent_version: DraftValue<'a>,
    pub(crate) images: DraftImages<'a>,
}

/// The images as they came.
#[derive(Debug, Default)]
pub(crate) struct DraftImages<'a> {
    /// The first ones, at most [`MAX_IMAGES`].
    pub(crate) list: Vec<DraftImage<'a>>,
    /// How many there were.
    pub(crate) count: usize,
    /// Whether they were something else than a list.
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

/// One image as it came.
#[derive(Debug)]
pub(crate) struct DraftImage<'a> {
    pub(crate) name: DraftValue<'a>,
    /// The media type that the sender says it has.
    pub(crate) declared: DraftValue<'a>,
    pub(crate) content: Content<'a>,
}

/// An image's bytes as they came.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// As they are.
    Bytes(Bytes),
    /// As base64 or a `data:` URL.
    Text(Cow<'a, str>),
    /// More than allowed: not kept.
    TooLarge,
    /// Something that is no text, or nothing.
    None,
    /// The name of a file sent before, which is not supported yet.
    FileId,
}
