//! The API's dependencies, and the state shared by its handlers.

use crate::auth::audit_limits::AuditLimits;
use crate::auth::keys::Keys;
use crate::auth::password::PasswordService;
use crate::auth::permission_polls::PermissionPolls;
use crate::dispatch::Dispatch;
use crate::events::event_hub::EventHub;
use crate::events::stream_permits::StreamPermits;
use crate::intake::photo_checks::PhotoChecks;
use crate::intake::upload_memory::UploadMemory;
use crate::layers::limiters::Limiters;
use crate::setting_list::SettingInUse;
use crate::settings::ApiSettings;
use crate::usual_time::UsualTime;
use axum::extract::FromRef;
use diagflow_store::{BlobStore, Eraser, Store};
use futures::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// Checks whether runs can be started. The result is used only for reporting, because submissions are accepted even
/// while Temporal is down.
pub type TemporalHealth =
    Arc<dyn Fn() -> BoxFuture<'static, Result<(), StartProblem>> + Send + Sync>;

/// Reason runs cannot be started, or started runs make no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum StartProblem {
    TemporalUnreachable,
    /// The `TEMPORAL_NAMESPACE` namespace does not exist in Temporal.
    NamespaceNotFound,
    TemporalAccessDenied,
    /// The runs in the database belong to a different namespace or cluster from the one in the settings.
    WrongTemporalCluster,
    /// A search attribute does not exist, and Diagflow is not permitted to create it.
    SearchAttributeMissing,
    /// A search attribute has the wrong type.
    SearchAttributeType,
    /// The database did not respond when the process checked which cluster its runs belong to.
    DatabaseUnavailable,
    /// No worker is polling the `TEMPORAL_TASK_QUEUE` task queue.
    NoWorker,
}

/// The API's dependencies, which are provided by the binary.
#[derive(Clone)]
pub struct App {
    pub store: Store,
    pub bytes: BlobStore,
    pub dispatch: Dispatch,
    pub eraser: Eraser,
    pub temporal_health: TemporalHealth,
    /// Handle to a recorder built with [`crate::telemetry::metrics_builder`].
    pub metrics: PrometheusHandle,
    pub settings: ApiSettings,
    /// All settings of the process, for staff.
    pub setting_list: Arc<[SettingInUse]>,
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
    pub(crate) streams: StreamPermits,
    pub(crate) memory: UploadMemory,
    pub(crate) photo_checks: PhotoChecks,
    pub(crate) keys: Keys,
    pub(crate) passwords: PasswordService,
    pub(crate) limiters: Limiters,
    pub(crate) audit_limits: AuditLimits,
    pub(crate) permission_polls: PermissionPolls,
    pub(crate) usual_time: UsualTime,
    /// Cancelled at shutdown, which ends the event streams.
    pub(crate) closing: CancellationToken,
}

impl AppState {
    pub(crate) fn new(app: App, closing: CancellationToken) -> Self {
        let settings = &app.settings;
        Self(Arc::new(StateInner {
            hub: EventHub::new(app.store.clone(), settings.events_poll),
            streams: StreamPermits::new(&settings.open_limits),
            memory: UploadMemory::for_uploads(settings),
            photo_checks: PhotoChecks::new(),
            limiters: Limiters::new(&settings.rate_limits),
            audit_limits: AuditLimits::new(),
            permission_polls: PermissionPolls::default(),
            usual_time: UsualTime::default(),
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
