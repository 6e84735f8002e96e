//! The dependencies of the API, and the state that its handlers share.

use crate::auth::anonymous_audit::AnonymousAuditLimiter;
use crate::auth::keys::Keys;
use crate::auth::password::PasswordService;
use crate::dispatch::Dispatch;
use crate::events::event_hub::EventHub;
use crate::intake::upload_memory::UploadMemory;
use crate::layers::limiters::Limiters;
use crate::settings::ApiSettings;
use axum::extract::FromRef;
use diagflow_store::{BlobStore, Store};
use futures::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Checks whether Temporal responds. The result is only reported: submissions are accepted without Temporal.
pub type TemporalHealth = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The dependencies of the API, which the binary provides.
#[derive(Clone)]
pub struct App {
    pub store: Store,
    pub bytes: BlobStore,
    pub dispatch: Dispatch,
    pub temporal_health: TemporalHealth,
    /// Built with [`crate::telemetry::metrics_builder`].
    pub metrics: PrometheusHandle,
    pub settings: ApiSettings,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[derive(Clone)]
pub(crate) struct AppState(Arc<StateInner>);

pub(crate) struct StateInner {
    pub(crate) app: App,
    pub(crate) hub: EventHub,
    pub(crate) memory: UploadMemory,
    pub(crate) keys: Keys,
    pub(crate) passwords: PasswordService,
    pub(crate) limiters: Limiters,
    pub(crate) anonymous_audit: AnonymousAuditLimiter,
    /// Cancelled at shutdown, which ends the event streams.
    pub(crate) closing: CancellationToken,
}

impl AppState {
    pub(crate) fn new(app: App, closing: CancellationToken) -> Self {
        let settings = &app.settings;
        Self(Arc::new(StateInner {
            hub: EventHub::new(app.store.clone(), settings.events_poll),
            memory: UploadMemory::for_uploads(settings),
            limiters: Limiters::new(&settings.rate_limits),
            anonymous_audit: AnonymousAuditLimiter::new(),
            keys: Keys::new(settings),
            passwords: PasswordService::new(),
            closing,
            app,
        }))
    }
}

impl Deref for AppState {
    type Target = StateInner;
    fn deref(&self) -> &StateInner {
        &self.0
    }
}

impl FromRef<AppState> for Store {
    fn from_ref(state: &AppState) -> Store {
        state.app.store.clone()
    }
}
