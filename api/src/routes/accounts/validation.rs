//! Validates account fields and collects all errors.

use crate::auth::password::PasswordService;
use crate::error::field_errors::{FieldError, FieldErrorCode};
use diagflow_store::{EmailAddress, Role, User};

pub(super) fn parse_role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|_| {
        let names = Role::ALL.iter().map(Role::to_string).collect::<Vec<_>>().join(", ");
        format!("Role must be one of {names}")
    })
}

#[derive(Default)]
pub(super) struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    pub(super) fn add(&mut self, field: &str, code: FieldErrorCode, message: impl Into<String>) {
        self.0.push(FieldError { field: field.to_owned(), code, message: message.into() });
    }

    pub(super) fn into_inner(self) -> Vec<FieldError> {
        self.0
    }

    pub(super) fn email(&mut self, text: &str) -> Option<EmailAddress> {
        let email = text.to_lowercase().parse().ok();
        if email.is_none() {
            self.add("email", FieldErrorCode::EmailInvalid, "Invalid email format");
        }
        email
    }

    pub(super) fn name(&mut self, text: &str) -> Option<String> {
        let name = text.trim();
        if name.is_empty() {
            self.add("name", FieldErrorCode::NameRequired, "Name is required");
        } else if name.chars().count() > User::MAX_NAME_CHARS {
            self.add(
                "name",
                FieldErrorCode::NameTooLong,
                format!("Name exceeds {} characters", User::MAX_NAME_CHARS),
            );
        } else if name.contains(char::is_control) {
            self.add("name", FieldErrorCode::NameInvalid, "Name must be a single line of text");
        } else {
            return Some(name.to_owned());
        }
        None
    }

    pub(super) fn role(&mut self, text: &str) -> Option<Role> {
        parse_role(text)
            .map_err(|message| self.add("role", FieldErrorCode::RoleInvalid, message))
            .ok()
    }

    pub(super) fn required(&mut self, field: &str, code: FieldErrorCode) {
        let mut name = field.to_owned();
        name[..1].make_ascii_uppercase();
        self.add(field, code, format!("{name} is required"));
    }

    /// Returns the password if it is valid for an account with this role. Service accounts have no passwords.
    pub(super) async fn password<'a>(
        &mut self,
        passwords: &PasswordService,
        given: Option<&'a str>,
        role: Option<Role>,
        email: &str,
        name: &str,
    ) -> Option<&'a str> {
        match (given, role) {
            (Some(_), Some(Role::Service)) => {
                let message = "Service accounts use API keys instead of a password";
                self.add("password", FieldErrorCode::PasswordForbidden, message);
                None
            }
            (Some(password), _) => match passwords.check(password, email, name).await {
                Ok(()) => Some(password),
                Err(weak) => {
                    self.add("password", weak.code(), weak.to_string());
                    None
                }
            },
            (None, _) => None,
        }
    }
}
