//! Functions for `#[serde(deserialize_with = …)]`, used by the settings structs in all crates to parse environment
//! variables. Their errors contain no details because the `cli` crate reports an invalid setting with its documentation
//! and never with its value.

use crate::keyring::Keyring;
use secrecy::SecretString;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::str::FromStr;
use std::time::Duration;
use url::Url;

/// Deserializes a string and converts it with `convert`, which returns `None` if the string is invalid.
pub fn convert<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    convert: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    convert(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("invalid"))
}

pub fn parse<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<T, D::Error> {
    convert(deserializer, |text| text.parse().ok())
}

pub fn within<'de, D: Deserializer<'de>, T: FromStr, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<T, D::Error> {
    convert(deserializer, |text| {
        let number: u64 = text.parse().ok()?;
        (MIN..=MAX).contains(&number).then(|| text.parse().ok()).flatten()
    })
}

pub fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    convert(deserializer, parse_seconds)
}

/// Parses a number of seconds, with or without decimals. The minimum is one millisecond.
pub fn parse_seconds(text: &str) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    (duration >= Duration::from_millis(1)).then_some(duration)
}

pub fn list<'de, D: Deserializer<'de>, T: From<String>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    convert(deserializer, |text| {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Some(items.map(|item| T::from(item.to_owned())).collect())
    })
}

pub fn secret_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Keyring, D::Error> {
    #[derive(Deserialize)]
    struct Variables {
        #[serde(rename = "SECRET_KEY")]
        current: SecretString,
        #[serde(rename = "PREVIOUS_SECRET_KEYS", deserialize_with = "list", default)]
        others: Vec<SecretString>,
    }
    let Variables { current, others } = Variables::deserialize(deserializer)?;
    Ok(Keyring::new(current, others))
}

pub fn audit_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Keyring, D::Error> {
    #[derive(Deserialize)]
    struct Variables {
        #[serde(rename = "AUDIT_KEY")]
        current: SecretString,
        #[serde(rename = "PREVIOUS_AUDIT_KEYS", deserialize_with = "list", default)]
        others: Vec<SecretString>,
    }
    let Variables { current, others } = Variables::deserialize(deserializer)?;
    Ok(Keyring::new(current, others))
}

pub fn http_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    convert(deserializer, |text| {
        text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"))
    })
}
