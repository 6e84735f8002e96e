//! What the API is made of, and the state that its handlers share.

use crate::auth::cookies::CsrfKey;
use crate::auth::device::DeviceKey;
use crate::auth::password::Passwords;
use crate::auth::refresh::RefreshKey;
use crate::auth::{Strangers, TokenSigner};
use crate::call_back::CallBackKey;
use crate::events::Hub;
use crate::intake::Memory;
use crate::layers::Limiters;
use crate::outbox::Outbox;
use crate::runs::Runs;
use crate::settings::ApiSettings;
use crate::tokens::TokenKey;
use axum::extract::FromRef;
use diagflow_store::{AuditKey, FileBytes, LinkKey, Store};
use futures::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Asks Temporal for a sign of life. Only reported: submissions are accepted without Temporal.
pub type TemporalHealth = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The parts that the binary wires together.
#[derive(Clone)]
pub struct App {
    /// The records.
    pub store: Store,
    /// The images' bytes.
    pub bytes: FileBytes,
    /// Starts runs soon after they were stored.
    pub outbox: Outbox,
    /// The runs that are going on.
    pub runs: Runs,
    /// Whether Temporal answers.
    pub temporal: TemporalHealth,
    /// What `/metrics` shows; from [`crate::metrics_builder`].
    pub metrics: PrometheusHandle,
    /// Settings.
    pub settings: ApiSettings,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// State of the handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Shared>);

/// See [`AppState`].
pub(crate) struct Shared {
    pub(crate) app: App,
    pub(crate) hub: Hub,
    pub(crate) memory: Memory,
    pub(crate) tokens: TokenKey,
    /// Tokens of sessions, and against forged requests.
    pub(crate) signer: TokenSigner,
    pub(crate) csrf: CsrfKey,
    pub(crate) refreshes: RefreshKey,
    /// Devices that signed in before.
    pub(crate) devices: DeviceKey,
    pub(crate) passwords: Passwords,
    /// What each client sent.
    pub(crate) limiters: Limiters,
    /// What nobody that we know was refused.
    pub(crate) strangers: Strangers,
    /// Seals the audit.
    pub(crate) audit_key: AuditKey,
    pub(crate) links: LinkKey,
    /// Where LoopAI may call back.
    pub(crate) call_backs: Option<CallBackKey>,
    /// Cancelled when the process is asked to end: event streams end then.
    pub(crate) closing: CancellationToken,
}

impl AppState {
    pub(crate) fn new(app: App, closing: CancellationToken) -> Self {
        let settings = &app.settings;
        Self(Arc::new(Shared {
            hub: Hub::new(app.store.clone(), settings.events_poll),
            memory: Memory::for_uploads(settings),
            tokens: TokenKey::new(&settings.secret_key),
            signer: TokenSigner::new(&settings.jwt),
            csrf: CsrfKey::new(&settings.secret_key),
            refreshes: RefreshKey::new(&settings.secret_key),
            devices: DeviceKey::new(&settings.secret_key),
            limiters: Limiters::new(&settings.rate_limits),
            strangers: Strangers::new(),
            passwords: Passwords::new(),
            audit_key: AuditKey::new(settings.audit_key.expose_secret()),
            links: LinkKey::new(settings.secret_key.expose_secret()),
            call_backs: settings.call_back_secret.as_ref().map(CallBackKey::new),
            closing,
            app,
        }))
    }
}

impl Deref for AppState {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<AppState> for Store {
    fn from_ref(state: &AppState) -> Store {
        state.app.store.clone()
    }
}
