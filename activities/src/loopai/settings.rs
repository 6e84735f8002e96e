//! Settings for the LoopAI client.

use diagflow_store::settings::{convert, http_url, parse, parse_seconds, seconds};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::time::Duration;
use url::Url;

/// An activity attempt times out after 45 s (`workflows::policy`), which leaves 5 s for database calls.
const MAX_TIMEOUT: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Deserialize)]
pub struct LoopAiSettings {
    #[serde(rename = "LOOPAI_API_URL", deserialize_with = "http_url")]
    pub url: Url,
    #[serde(rename = "LOOPAI_API_KEY")]
    pub key: Option<SecretString>,
    #[serde(rename = "LOOPAI_AGENT_ID", deserialize_with = "parse")]
    pub agent_id: i32,
    #[serde(rename = "LOOPAI_TIMEOUT_SECONDS", deserialize_with = "timeout")]
    pub timeout: Duration,
    #[serde(rename = "LOOPAI_IMAGES")]
    pub images: ImageMode,
    #[serde(rename = "LOOPAI_IMAGE_URL_LIFETIME_SECONDS", deserialize_with = "seconds")]
    pub image_url_lifetime: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageMode {
    Data,
    Url,
}

fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    convert(deserializer, |text| parse_seconds(text).filter(|timeout| *timeout <= MAX_TIMEOUT))
}
