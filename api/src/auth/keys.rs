//! The keys for tokens, cookies, links, webhooks and audit entries.

use crate::auth::cookies::CsrfTokens;
use crate::auth::device::DeviceCookies;
use crate::auth::jwt::AccessTokens;
use crate::auth::refresh::RefreshTokens;
use crate::auth::submission_tokens::SubmissionTokens;
use crate::auth::webhook::WebhookKey;
use crate::settings::ApiSettings;
use diagflow_store::{AuditKey, EmailLinkKey, LinkKey};

pub(crate) struct Keys {
    pub(crate) submission_tokens: SubmissionTokens,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) csrf: CsrfTokens,
    pub(crate) refresh: RefreshTokens,
    pub(crate) device_cookies: DeviceCookies,
    pub(crate) audit: AuditKey,
    pub(crate) links: LinkKey,
    pub(crate) email_links: EmailLinkKey,
    /// `None` if LoopAI callbacks are disabled.
    pub(crate) webhook: Option<WebhookKey>,
}

impl Keys {
    pub(crate) fn new(settings: &ApiSettings) -> Self {
        Self {
            submission_tokens: SubmissionTokens::new(&settings.secret_keys),
            access_tokens: AccessTokens::new(&settings.jwt),
            csrf: CsrfTokens::new(&settings.secret_keys),
            refresh: RefreshTokens::new(&settings.secret_keys),
            device_cookies: DeviceCookies::new(&settings.secret_keys),
            audit: AuditKey::new(&settings.audit_keys),
            links: LinkKey::new(&settings.secret_keys),
            email_links: EmailLinkKey::new(&settings.secret_keys),
            webhook: settings.callback_secret.as_ref().map(WebhookKey::new),
        }
    }
}
