//! Connects to Temporal, which may be unavailable at startup or later.

use crate::once_per_minute::OncePerMinute;
use diagflow_activities::temporal::{
    self, SearchAttributeCheck, SearchAttributeError, TemporalSettings,
};
use diagflow_api::{StartProblem, seen_workers};
use diagflow_store::{Store, StoreError, TemporalCluster};
use std::time::Duration;
use temporalio_client::errors::ClientConnectError;
use temporalio_client::tonic::{Code, IntoRequest, Status};
use temporalio_client::{Client, NamespacedClient};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeNamespaceRequest;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The initial and the maximum pause between connection attempts.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct TemporalConnection {
    /// `None` until the connection is established. Afterwards, the client reconnects automatically.
    pub(crate) client: watch::Receiver<Option<Client>>,
    /// Why the last connection attempt failed.
    failure: watch::Receiver<StartProblem>,
}

/// Connects to Temporal in the background.
pub(crate) fn connect_in_background(
    settings: TemporalSettings,
    store: Store,
    role: &'static str,
    stop: CancellationToken,
) -> TemporalConnection {
    let (sender, client) = watch::channel(None);
    let (failed, failure) = watch::channel(StartProblem::TemporalUnreachable);
    tokio::spawn(async move {
        let identity = format!("diagflow-{role}-{}", std::process::id());
        let mut pause = RETRY_PAUSES.0;
        let mut logged = OncePerMinute::new();
        loop {
            match connect(&settings, &store, &identity).await {
                Ok((client, check)) => {
                    tracing::info!(address = %settings.address, "connected to Temporal");
                    if check == SearchAttributeCheck::Forbidden {
                        tracing::warn!("search attributes not checked: Temporal denies access");
                    }
                    sender.send_replace(Some(client));
                    return;
                }
                Err(error) => {
                    failed.send_replace(error.problem());
                    if logged.admits(error.to_string()) {
                        log(&error, &settings);
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY_PAUSES.1),
            }
        }
    });
    TemporalConnection { client, failure }
}

/// The reason why the process cannot use Temporal.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{0}")]
    Temporal(#[from] anyhow::Error),
    // Database error messages may contain stored values.
    #[error("{}", .0.kind())]
    Database(StoreError),
    #[error("the runs belong to the {recorded}, but the settings point to the {connected}")]
    OtherCluster { recorded: TemporalCluster, connected: TemporalCluster },
}

impl ConnectError {
    fn problem(&self) -> StartProblem {
        match self {
            Self::Temporal(error) => match error.downcast_ref() {
                Some(SearchAttributeError::Missing(_)) => StartProblem::SearchAttributeMissing,
                Some(SearchAttributeError::Type { .. }) => StartProblem::SearchAttributeType,
                None => problem_of(status_of(error)),
            },
            Self::Database(_) => StartProblem::DatabaseUnavailable,
            Self::OtherCluster { .. } => StartProblem::WrongTemporalCluster,
        }
    }
}

/// Connects to Temporal, provided that the runs in the database belong to that namespace and cluster. Another cluster
/// would not have their workflow executions, so the reconciler would end the runs.
async fn connect(
    settings: &TemporalSettings,
    store: &Store,
    identity: &str,
) -> Result<(Client, SearchAttributeCheck), ConnectError> {
    let (client, check) = temporal::connect(settings, identity).await?;
    let connected = temporal::cluster(&client).await?;
    let recorded = store.claim_temporal_cluster(&connected).await;
    let recorded = recorded.map_err(ConnectError::Database)?;
    if recorded == connected {
        Ok((client, check))
    } else {
        Err(ConnectError::OtherCluster { recorded, connected })
    }
}

fn status_of(error: &anyhow::Error) -> Option<&Status> {
    match error.downcast_ref() {
        // This error does not return the status as its source.
        Some(ClientConnectError::SystemInfoCallError(status)) => Some(status),
        _ => error.downcast_ref(),
    }
}

fn log(error: &ConnectError, settings: &TemporalSettings) {
    match error {
        ConnectError::Temporal(error) => {
            tracing::warn!(address = %settings.address, %error, "cannot use Temporal");
        }
        ConnectError::Database(error) => {
            tracing::warn!(
                error = error.kind(),
                "cannot compare the Temporal cluster with the database"
            );
        }
        ConnectError::OtherCluster { recorded, connected } => {
            tracing::error!(%recorded, %connected, "the runs belong to another Temporal cluster");
        }
    }
}

impl TemporalConnection {
    /// Checks whether runs can be started and, if `task_queue` is given, whether a worker is polling it.
    pub(crate) async fn check(&self, task_queue: Option<&str>) -> Result<(), StartProblem> {
        let client = self.client.borrow().clone();
        let Some(client) = client else { return Err(*self.failure.borrow()) };
        let check = async {
            describe_namespace(&client).await?;
            match task_queue {
                Some(queue) => require_worker(&client, queue).await,
                None => Ok(()),
            }
        };
        let checked = tokio::time::timeout(HEALTH_TIMEOUT, check).await;
        checked.unwrap_or(Err(StartProblem::TemporalUnreachable))
    }
}

/// Sends a request, since an existing connection may be broken.
async fn describe_namespace(client: &Client) -> Result<(), StartProblem> {
    let request = DescribeNamespaceRequest { namespace: client.namespace(), ..Default::default() };
    let mut service = client.connection().workflow_service();
    let described = service.describe_namespace(request.into_request()).await;
    described.map(drop).map_err(|status| problem_of(Some(&status)))
}

async fn require_worker(client: &Client, task_queue: &str) -> Result<(), StartProblem> {
    let workers = seen_workers(client, task_queue).await;
    match workers.map_err(|status| problem_of(Some(&status)))?.is_empty() {
        true => Err(StartProblem::NoWorker),
        false => Ok(()),
    }
}

fn problem_of(status: Option<&Status>) -> StartProblem {
    match status.map(Status::code) {
        Some(Code::NotFound) => StartProblem::NamespaceNotFound,
        Some(Code::PermissionDenied | Code::Unauthenticated) => StartProblem::TemporalAccessDenied,
        _ => StartProblem::TemporalUnreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_first_request_is_reported_as_denied_access() {
        for status in [Status::permission_denied(""), Status::unauthenticated("")] {
            let error = anyhow::Error::from(ClientConnectError::SystemInfoCallError(status));
            assert_eq!(ConnectError::from(error).problem(), StartProblem::TemporalAccessDenied);
        }
        let status = Status::unavailable("");
        let error = anyhow::Error::from(ClientConnectError::SystemInfoCallError(status));
        assert_eq!(ConnectError::from(error).problem(), StartProblem::TemporalUnreachable);
    }
}
