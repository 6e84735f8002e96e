//! The keys that everything is derived from, sealed or signed with.

use crate::auth::cookies::CsrfTokens;
use crate::auth::device::DeviceCookies;
use crate::auth::jwt::AccessTokens;
use crate::auth::refresh::RefreshTokens;
use crate::auth::submission_tokens::SubmissionTokens;
use crate::auth::webhook::WebhookKey;
use crate::settings::ApiSettings;
use diagflow_store::{AuditKey, LinkKey};
use secrecy::ExposeSecret;

/// See the head of this file.
pub(crate) struct Keys {
    pub(crate) submission_tokens: SubmissionTokens,
    /// Tokens of sessions, and against forged requests.
    pub(crate) access_tokens: AccessTokens,
    pub(crate) csrf: CsrfTokens,
    pub(crate) refresh: RefreshTokens,
    /// Devices that signed in before.
    pub(crate) device_cookies: DeviceCookies,
    /// Seals the audit.
    pub(crate) audit: AuditKey,
    pub(crate) links: LinkKey,
    /// Where LoopAI may call back.
    pub(crate) webhook: Option<WebhookKey>,
}

impl Keys {
    pub(crate) fn new(settings: &ApiSettings) -> Self {
        Self {
            submission_tokens: SubmissionTokens::new(&settings.secret_key),
            access_tokens: AccessTokens::new(&settings.jwt),
            csrf: CsrfTokens::new(&settings.secret_key),
            refresh: RefreshTokens::new(&settings.secret_key),
            device_cookies: DeviceCookies::new(&settings.secret_key),
            audit: AuditKey::new(settings.audit_key.expose_secret()),
            links: LinkKey::new(settings.secret_key.expose_secret()),
            webhook: settings.callback_secret.as_ref().map(WebhookKey::new),
        }
    }
}
