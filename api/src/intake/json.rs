//! Reads a draft from JSON. Strings are borrowed from the body, because images in base64 are large. A value of the
//! wrong type does not end the parsing, so that it is reported together with all other errors.

use crate::error::ApiError;
use crate::intake::draft::{Content, Draft, DraftImage, DraftImages, DraftValue, is_image_field};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

pub(crate) fn draft(body: &[u8]) -> Result<Draft<'_>, ApiError> {
    let object: Object<Draft<'_>> =
        serde_json::from_slice(body).map_err(|error| ApiError::invalid_json(&error))?;
    match object {
        Object::Object(draft) => Ok(draft),
        Object::Other => Err(ApiError::InvalidJson { line: 1, column: 1 }),
    }
}

enum Object<T> {
    Object(T),
    Other,
}

/// Visitor methods for numbers, booleans and null.
macro_rules! scalars {
    ($flag:expr, $null:expr, $number:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }
        fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
            Ok($flag(flag))
        }
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($null)
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok($number)
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok($number)
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok($number)
        }
    };
}

/// Skips the rest of a list or an object.
macro_rules! skip {
    (list $list:ident) => {
        while $list.next_element::<IgnoredAny>()?.is_some() {}
    };
    (object $object:ident) => {
        while $object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for DraftValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = DraftValue<'de>;
            scalars!(DraftValue::Flag, DraftValue::Missing, DraftValue::Other);
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(DraftValue::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(DraftValue::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                skip!(list list);
                Ok(DraftValue::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                skip!(object object);
                Ok(DraftValue::Other)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// If a field is repeated, the last value counts, as in browsers. Images of all fields count.
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
                while let Some(DraftValue::Text(name)) = object.next_key()? {
                    match name.as_ref() {
                        "email" => draft.email = object.next_value()?,
                        "comments" => draft.comments = object.next_value()?,
                        "consent" => draft.consent = object.next_value()?,
                        "consent_version" => draft.consent_version = object.next_value()?,
                        name if is_image_field(name) => draft.images.extend(object.next_value()?),
                        name => {
                            let value: &RawValue = object.next_value()?;
                            if may_hold_images(value) {
                                draft.add_unknown(name, holds_file(value));
                            }
                        }
                    }
                }
                Ok(draft)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Whether a value is a list, an object or a `data:` URL.
fn may_hold_images(value: &RawValue) -> bool {
    value.get().starts_with(['[', '{']) || holds_file(value)
}

/// Whether a value contains a `data:` URL.
fn holds_file(value: &RawValue) -> bool {
    value.get().contains("\"data:") && value.get().contains(";base64,")
}

/// Reads a list, or a single image.
impl<'de: 'a, 'a> Deserialize<'de> for DraftImages<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        fn not_a_list<'a>() -> DraftImages<'a> {
            DraftImages { not_a_list: true, ..DraftImages::default() }
        }
        fn one(image: DraftImage<'_>) -> DraftImages<'_> {
            let mut images = DraftImages::default();
            images.push(image);
            images
        }
        impl<'de> Visitor<'de> for Reader {
            type Value = DraftImages<'de>;
            scalars!(|_| not_a_list(), DraftImages::default(), not_a_list());
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(one(image_text(Cow::Borrowed(text))))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(one(image_text(Cow::Owned(text.to_owned()))))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut images = DraftImages::default();
                while let Some(image) = list.next_element()? {
                    images.push(image);
                }
                Ok(images)
            }
            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                DraftImage::deserialize(MapAccessDeserializer::new(object)).map(one)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

fn image_text(text: Cow<'_, str>) -> DraftImage<'_> {
    DraftImage { name: DraftValue::Missing, content: Content::Text(text) }
}

/// Reads an object, or the content of an image alone. Everything else is an image without content.
impl<'de: 'a, 'a> Deserialize<'de> for DraftImage<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        fn no_image<'a>() -> DraftImage<'a> {
            DraftImage { name: DraftValue::Missing, content: Content::None }
        }
        impl<'de> Visitor<'de> for Reader {
            type Value = DraftImage<'de>;
            scalars!(|_| no_image(), no_image(), no_image());
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(image_text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(image_text(Cow::Owned(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                skip!(list list);
                Ok(no_image())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                let (mut name, mut data, mut file_id) = Default::default();
                while let Some(DraftValue::Text(key)) = object.next_key()? {
                    match key.as_ref() {
                        "name" => name = object.next_value()?,
                        "data" => data = object.next_value()?,
                        "file_id" => file_id = object.next_value()?,
                        _ => _ = object.next_value::<IgnoredAny>()?,
                    }
                }
                let content = match (data, file_id) {
                    (DraftValue::Text(text), _) => Content::Text(text),
                    (DraftValue::Missing, DraftValue::Text(_)) => Content::FileId,
                    _ => Content::None,
                };
                Ok(DraftImage { name, content })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Object<T>;
            scalars!(|_| Object::Other, Object::Other, Object::Other);
            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Object::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                skip!(list list);
                Ok(Object::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(object)).map(Object::Object)
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}
