//! Deserializes settings from the environment and collects all invalid settings.

use super::defaults::{self, Setting};
use anyhow::{Context, ensure};
use serde::de::{DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;

type Values = BTreeMap<&'static str, String>;

/// The name of each invalid setting, with a description of the problem.
#[derive(Debug, Default)]
pub(crate) struct InvalidSettings(BTreeMap<&'static str, String>);

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} invalid setting{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|(name, problem)| write!(f, "\n  {name}: {problem}"))
    }
}

impl std::error::Error for InvalidSettings {}

/// Reads settings from the environment. The default applies if a variable is unset.
pub(crate) struct Reader {
    settings: BTreeMap<&'static str, Setting>,
    values: Values,
    /// Settings whose values come from the environment.
    set: BTreeSet<&'static str>,
    invalid: InvalidSettings,
}

impl Reader {
    pub(crate) fn new(environment: impl Iterator<Item = (OsString, OsString)>) -> Reader {
        let settings = defaults::all().into_iter().map(|setting| (setting.name, setting)).collect();
        let (values, set) = (Values::new(), BTreeSet::new());
        let mut reader = Reader { settings, values, set, invalid: InvalidSettings::default() };
        for (name, value) in environment.filter(|(_, value)| !value.is_empty()) {
            let Some(name) = name.to_str().and_then(|name| reader.settings.get(name)) else {
                continue;
            };
            let name = name.name;
            match value.into_string() {
                Ok(value) => drop(reader.values.insert(name, value)),
                Err(_) => reader.reject(name, "The value is not valid UTF-8."),
            }
        }
        reader.set = reader.values.keys().copied().collect();
        for setting in reader.settings.values() {
            reader.values.entry(setting.name).or_insert_with(|| setting.default.to_owned());
        }
        reader
    }

    /// Deserializes `T`. Records each invalid setting and continues with its default so that all invalid settings are
    /// found.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        loop {
            let Invalid(name) = match T::deserialize(Variables(&self.values)) {
                Ok(settings) => return Ok(settings),
                Err(invalid) => invalid,
            };
            let setting = self.settings.get(name.as_str());
            let setting = setting.with_context(|| format!("{name} is not in defaults.toml"))?;
            let value = self.values.insert(setting.name, setting.default.to_owned());
            ensure!(value.as_deref() != Some(setting.default), "the default of {name} is invalid");
            let (name, problem) = (setting.name, setting.description.clone());
            self.reject(name, problem);
        }
    }

    /// Returns the value of a setting, or its default.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns whether the environment contains a value for the setting.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.set.contains(name)
    }

    /// Records the first problem with a setting. Later problems are ignored because they concern the default that
    /// replaced the invalid value.
    pub(crate) fn reject(&mut self, name: &'static str, problem: impl Into<String>) {
        self.invalid.0.entry(name).or_insert_with(|| problem.into());
    }

    pub(crate) fn finish(self) -> Result<(), InvalidSettings> {
        if self.invalid.0.is_empty() { Ok(()) } else { Err(self.invalid) }
    }
}

/// The name of an invalid setting. Error messages never contain the value because it may be a password.
#[derive(Debug)]
struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is invalid", self.0)
    }
}

impl std::error::Error for Invalid {}

impl serde::de::Error for Invalid {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Invalid(String::new())
    }

    fn missing_field(field: &'static str) -> Self {
        Invalid(field.to_owned())
    }
}

/// Deserializes a struct. An upper-case field is an environment variable. Any other field is a nested struct of
/// variables.
#[derive(Clone, Copy)]
struct Variables<'a>(&'a Values);

impl<'de> Deserializer<'de> for Variables<'_> {
    type Error = Invalid;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        visitor.visit_map(Fields { variables: self, fields: fields.iter(), field: "" })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Invalid> {
        Err(serde::de::Error::custom("only structs can be deserialized"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Fields<'a> {
    variables: Variables<'a>,
    fields: std::slice::Iter<'static, &'static str>,
    field: &'static str,
}

fn is_variable(field: &str) -> bool {
    field.starts_with(|c: char| c.is_ascii_uppercase())
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Invalid;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Invalid> {
        let values = self.variables.0;
        let is_set = |field: &&&str| values.get(**field).is_some_and(|value| !value.is_empty());
        let Some(field) = self.fields.find(|field| !is_variable(field) || is_set(field)) else {
            return Ok(None);
        };
        self.field = field;
        seed.deserialize(field.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Invalid> {
        if !is_variable(self.field) {
            return seed.deserialize(self.variables);
        }
        let value = self.variables.0.get(self.field).map(String::as_str).unwrap_or_default();
        seed.deserialize(Value(value)).map_err(|_| Invalid(self.field.to_owned()))
    }
}

/// Deserializes the value of an environment variable.
struct Value<'a>(&'a str);

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Invalid;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        self.0.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
