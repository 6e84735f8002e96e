//! An account as answers show it.

use crate::extract::time_format::rfc3339;
use diagflow_store::{User, UserId};
use serde::Serialize;
use utoipa::ToSchema;

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserBody {
    /// Its name in the records.
    #[schema(value_type = String, format = "uuid")]
    id: UserId,
    /// What somebody signs in with; in lower case.
    #[schema(example = "ana@example.org")]
    email: String,
    /// What to call them.
    #[schema(example = "Ana López")]
    name: String,
    /// `admin`, `operator`, `clinician`, `institution`, `patient` or `service`.
    #[schema(example = "operator")]
    role: String,
    /// Whether it may be used.
    enabled: bool,
    /// Since when it may not (UTC).
    #[schema(format = "date-time")]
    disabled_at: Option<String>,
    /// When its password was set (UTC); never for a program.
    #[schema(format = "date-time")]
    password_changed_at: Option<String>,
    /// When it was made (UTC).
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was changed last (UTC).
    #[schema(format = "date-time")]
    updated_at: String,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email.to_string(),
            name: user.name,
            role: user.role.to_string(),
            enabled: user.disabled_at.is_none(),
            disabled_at: user.disabled_at.map(rfc3339),
            password_changed_at: user.password_changed_at.map(rfc3339),
            created_at: rfc3339(user.created_at),
            updated_at: rfc3339(user.updated_at),
        }
    }
}

/// The answer with one account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserResponse {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The account.
    user: UserBody,
}

impl From<User> for UserResponse {
    fn from(user: User) -> Self {
        Self { success: true, user: user.into() }
    }
}
