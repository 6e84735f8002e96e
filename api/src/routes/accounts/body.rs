use crate::openapi::names::AccountRole;
use diagflow_store::{User, UserId, UtcTime};
use serde::Serialize;
use utoipa::ToSchema;

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserBody {
    /// Id of the account.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: UserId,
    /// E-mail address used to sign in, in lower case.
    #[schema(example = "ana@example.org")]
    pub(crate) email: String,
    /// Name of the person or program.
    #[schema(example = "Ana López")]
    pub(crate) name: String,
    /// Role of the account.
    pub(crate) role: AccountRole,
    /// Whether the account is enabled.
    pub(crate) enabled: bool,
    /// Time at which the account was disabled.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) disabled_at: Option<UtcTime>,
    /// Time at which the password was set. `null` if the account has no password.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) password_changed_at: Option<UtcTime>,
    /// Time of creation.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) created_at: UtcTime,
    /// Time of the last change.
    #[schema(value_type = String, format = "date-time")]
    pub(crate) updated_at: UtcTime,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email.to_string(),
            name: user.name,
            role: user.role.into(),
            enabled: user.disabled_at.is_none(),
            disabled_at: user.disabled_at,
            password_changed_at: user.password_changed_at,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// A response that contains an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserResponse {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// The account.
    pub(crate) user: UserBody,
}

impl From<User> for UserResponse {
    fn from(user: User) -> Self {
        Self { success: true, user: user.into() }
    }
}
