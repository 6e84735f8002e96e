//! Reads a draft from JSON. Strings are borrowed from the body, because images in base64 are large. A value of the
//! wrong type does not stop the parser, so its error is reported together with all others. Numbers and nested lists are
//! not parsed, so even an absurdly large number invalidates only its own field.

use crate::error::ApiError;
use crate::intake::draft::{Content, Draft, DraftImage, DraftImages, DraftValue, is_image_field};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

pub(crate) fn draft(body: &[u8]) -> Result<Draft<'_>, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::not_an_object(&error))
}

/// If a field is repeated, the last value is used, as in browsers. Images from all image fields are used.
impl<'de: 'a, 'a> Deserialize<'de> for Draft<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Draft<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                let mut draft = Draft::default();
                while let Some(Name(name)) = object.next_key()? {
                    let json: &RawValue = object.next_value()?;
                    match name.as_ref() {
                        "email" => draft.email = value(json),
                        "comments" => draft.comments = value(json),
                        "consent" => draft.consent = value(json),
                        "consent_version" => draft.consent_version = value(json),
                        name if is_image_field(name) => draft.images.extend(name, images(json)),
                        name if may_hold_images(json) => draft.add_unknown(name, holds_file(json)),
                        _ => {}
                    }
                }
                Ok(draft)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn value(json: &RawValue) -> DraftValue<'_> {
    let json = json.get();
    match json.as_bytes().first() {
        Some(b'"') => text(json).map_or(DraftValue::Other, DraftValue::Text),
        Some(b't') => DraftValue::Flag(true),
        Some(b'f') => DraftValue::Flag(false),
        Some(b'n') => DraftValue::Missing,
        _ => DraftValue::Other,
    }
}

/// Returns the text of a JSON string, which is copied only if it contains escapes.
fn text(json: &str) -> Option<Cow<'_, str>> {
    match json.contains('\\') {
        true => serde_json::from_str(json).ok().map(Cow::Owned),
        false => json.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed),
    }
}

/// Whether a value is a list, an object or a `data:` URL.
fn may_hold_images(json: &RawValue) -> bool {
    json.get().starts_with(['[', '{']) || holds_file(json)
}

/// Whether a value contains a `data:` URL.
fn holds_file(json: &RawValue) -> bool {
    json.get().contains("\"data:") && json.get().contains(";base64,")
}

/// Reads a list of images, or a single image.
fn images(json: &RawValue) -> DraftImages<'_> {
    let not_a_list = || DraftImages { not_a_list: true, ..DraftImages::default() };
    match json.get().as_bytes().first() {
        Some(b'n') => DraftImages::default(),
        Some(b'[') => serde_json::from_str(json.get()).unwrap_or_else(|_| not_a_list()),
        Some(b'{' | b'"') => image(json).into(),
        _ => not_a_list(),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for DraftImages<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = DraftImages<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut images = DraftImages::default();
                while let Some(json) = list.next_element()? {
                    images.push(image(json));
                }
                Ok(images)
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

/// Reads an image from an object, or from a string that contains only the image data. Any other value becomes an image
/// without content.
fn image(json: &RawValue) -> DraftImage<'_> {
    let without_name = |content| DraftImage::new(DraftValue::Missing, content);
    match value(json) {
        DraftValue::Text(text) => without_name(Content::Text(text)),
        _ => serde_json::from_str(json.get()).unwrap_or_else(|_| without_name(Content::None)),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for DraftImage<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = DraftImage<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                let (mut name, mut data, mut file_id) = Default::default();
                while let Some(Name(key)) = object.next_key()? {
                    let json: &RawValue = object.next_value()?;
                    match key.as_ref() {
                        "name" => name = value(json),
                        "data" => data = value(json),
                        "file_id" => file_id = value(json),
                        _ => {}
                    }
                }
                let content = match (data, file_id) {
                    (DraftValue::Text(text), _) => Content::Text(text),
                    (DraftValue::Missing, DraftValue::Text(_)) => Content::FileId,
                    _ => Content::None,
                };
                Ok(DraftImage::new(name, content))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
