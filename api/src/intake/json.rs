//! Reads a draft from JSON. Strings are borrowed from the body, because images in base64 are large. A value of the
//! wrong type does not end the parsing, so that it is reported together with all other errors.

use crate::error::ApiError;
use crate::intake::draft::{Content, Draft, DraftImage, DraftImages, DraftValue};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

#[derive(Deserialize)]
struct JsonDraft<'a> {
    #[serde(default, borrow)]
    email: DraftValue<'a>,
    #[serde(default, borrow)]
    comments: DraftValue<'a>,
    #[serde(default, borrow)]
    consent: DraftValue<'a>,
    #[serde(default, borrow)]
    consent_version: DraftValue<'a>,
    #[serde(default, borrow)]
    images: DraftImages<'a>,
}

#[derive(Deserialize)]
struct JsonImage<'a> {
    #[serde(default, borrow)]
    name: DraftValue<'a>,
    #[serde(default, borrow, rename = "type")]
    declared: DraftValue<'a>,
    #[serde(default, borrow)]
    data: DraftValue<'a>,
    #[serde(default, borrow)]
    file_id: DraftValue<'a>,
}

pub(crate) fn draft(body: &[u8]) -> Result<Draft<'_>, ApiError> {
    let object: Object<JsonDraft<'_>> = serde_json::from_slice(body)
        .map_err(|error| ApiError::InvalidJson { line: error.line(), column: error.column() })?;
    let Object::Object(body) = object else {
        return Err(ApiError::InvalidJson { line: 1, column: 1 });
    };
    Ok(Draft {
        email: body.email,
        comments: body.comments,
        consent: body.consent,
        consent_version: body.consent_version,
        images: body.images,
    })
}

impl<'a> From<Object<JsonImage<'a>>> for DraftImage<'a> {
    fn from(item: Object<JsonImage<'a>>) -> Self {
        let Object::Object(image) = item else {
            return Self {
                name: DraftValue::Missing,
                declared: DraftValue::Missing,
                content: Content::None,
            };
        };
        let content = match (image.data, image.file_id) {
            (DraftValue::Text(text), _) => Content::Text(text),
            (DraftValue::Missing, DraftValue::Text(_)) => Content::FileId,
            _ => Content::None,
        };
        Self { name: image.name, declared: image.declared, content }
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

impl<'de: 'a, 'a> Deserialize<'de> for DraftImages<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        fn not_a_list<'a>() -> DraftImages<'a> {
            DraftImages { not_a_list: true, ..DraftImages::default() }
        }
        impl<'de> Visitor<'de> for Reader {
            type Value = DraftImages<'de>;
            scalars!(|_| not_a_list(), DraftImages::default(), not_a_list());
            fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
                Ok(not_a_list())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut images = DraftImages::default();
                while let Some(item) = list.next_element::<Object<JsonImage<'de>>>()? {
                    images.push(item.into());
                }
                Ok(images)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                skip!(object object);
                Ok(not_a_list())
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
