//! The keys that everything is derived from, sealed or signed with.

use crate::auth::call_back::CallBackKey;
use crate::auth::cookies::CsrfKey;
use crate::auth::device::DeviceKey;
use crate::auth::jwt::TokenSigner;
use crate::auth::refresh::RefreshKey;
use crate::auth::tokens::TokenKey;
use crate::settings::ApiSettings;
use diagflow_store::{AuditKey, LinkKey};
use secrecy::ExposeSecret;

/// See the head of this file.
pub(crate) struct Keys {
    pub(crate) tokens: TokenKey,
    /// Tokens of sessions, and against forged requests.
    pub(crate) signer: TokenSigner,
    pub(crate) csrf: CsrfKey,
    pub(crate) refreshes: RefreshKey,
    /// Devices that signed in before.
    pub(crate) devices: DeviceKey,
    /// Seals the audit.
    pub(crate) audit_key: AuditKey,
    pub(crate) links: LinkKey,
    /// Where LoopAI may call back.
    pub(crate) call_backs: Option<CallBackKey>,
}

impl Keys {
    pub(crate) fn new(settings: &ApiSettings) -> Self {
        Self {
            tokens: TokenKey::new(&settings.secret_key),
            signer: TokenSigner::new(&settings.jwt),
            csrf: CsrfKey::new(&settings.secret_key),
            refreshes: RefreshKey::new(&settings.secret_key),
            devices: DeviceKey::new(&settings.secret_key),
            audit_key: AuditKey::new(settings.audit_key.expose_secret()),
            links: LinkKey::new(settings.secret_key.expose_secret()),
            call_backs: settings.call_back_secret.as_ref().map(CallBackKey::new),
        }
    }
}
