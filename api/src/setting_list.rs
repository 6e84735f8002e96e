//! The settings in use, as staff may see them.

use serde::Serialize;
use utoipa::ToSchema;

/// A setting. The binary removes the values of secrets before it passes the settings to the API.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SettingInUse {
    /// Section of the setting in the documentation.
    #[schema(example = "API")]
    pub section: String,
    /// Name of the environment variable.
    #[schema(example = "PUBLIC_URL")]
    pub name: String,
    /// Value in use. `null` if the setting is not set, or if its value is a secret.
    #[schema(required)]
    pub value: Option<String>,
    /// Whether the value is a secret, which is never shown.
    pub secret: bool,
    /// Whether a value is in use, whether or not it is shown.
    pub set: bool,
    /// Whether the default is in use.
    pub default: bool,
    /// Meaning of the setting.
    pub description: String,
}
