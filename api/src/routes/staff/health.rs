use crate::app::{AppState, StartProblem};
use crate::error::ApiResult;
use crate::routes::operation::probe::probe;
use axum::Json;
use axum::extract::State;
use diagflow_store::{
    BreakerState, DatabaseState, EmailContact, LoopAiContact, PauseTarget, UtcTime,
};
use serde::Serialize;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// State of everything that Diagflow depends on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DependenciesBody {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// The dependencies.
    pub(crate) data: Vec<DependencyBody>,
}

/// State of a dependency.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DependencyBody {
    /// Name of the dependency.
    pub(crate) name: DependencyName,
    /// State of the dependency.
    pub(crate) state: DependencyState,
    /// Machine-readable description of the problem, if there is one.
    #[schema(required, example = "breaker_open")]
    pub(crate) problem: Option<String>,
    /// Duration of a request that this API process has just sent, in milliseconds. `null` if the request failed, or if
    /// only the workers contact the dependency.
    #[schema(required)]
    pub(crate) latency_ms: Option<u64>,
    /// Version that the server reports.
    #[schema(required)]
    pub(crate) version: Option<String>,
    /// Time of the latest result or of the latest e-mail sent. `null` for dependencies that the API contacts.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) succeeded_at: Option<UtcTime>,
    /// Time of the latest failure. For e-mails, the time at which the newest e-mail with a problem was planned.
    #[schema(required, value_type = Option<String>, format = "date-time")]
    pub(crate) failed_at: Option<UtcTime>,
}

/// Name of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum DependencyName {
    Database,
    FileStorage,
    Temporal,
    LoopAi,
    MailServer,
}

/// State of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum DependencyState {
    Healthy,
    /// The dependency works, but not for all requests.
    Degraded,
    Unavailable,
    /// Staff have paused the requests to the dependency.
    Paused,
    /// The database, which contains the state, is unavailable.
    Unknown,
}

/// Check the dependencies
///
/// The API sends one request each to the database, the file storage and Temporal. Only workers contact LoopAI and the
/// mail server, so their states come from the database.
#[utoipa::path(
    get,
    path = "/api/admin/health",
    tag = "staff",
    responses((status = 200, description = "The dependencies.", body = DependenciesBody)),
)]
pub(crate) async fn read_dependencies(
    State(state): State<AppState>,
) -> ApiResult<Json<DependenciesBody>> {
    let (database, storage, temporal, (loopai, mail)) =
        tokio::join!(database(&state), storage(&state), temporal(&state), workers(&state));
    Ok(Json(DependenciesBody {
        success: true,
        data: vec![database, storage, temporal, loopai, mail],
    }))
}

impl DependencyBody {
    fn new(name: DependencyName, state: DependencyState) -> Self {
        Self {
            name,
            state,
            problem: None,
            latency_ms: None,
            version: None,
            succeeded_at: None,
            failed_at: None,
        }
    }

    fn with_problem(name: DependencyName, state: DependencyState, problem: impl ToString) -> Self {
        Self { problem: Some(problem.to_string()), ..Self::new(name, state) }
    }
}

/// Returns the result of a check, and its duration in milliseconds.
async fn timed<T: Send + 'static>(
    check: impl Future<Output = T> + Send + 'static,
) -> (Option<T>, u64) {
    let start = Instant::now();
    let result = probe(check).await;
    (result, milliseconds(start.elapsed()))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn database(state: &AppState) -> DependencyBody {
    use DependencyState::{Degraded, Healthy, Unavailable};
    let (name, store) = (DependencyName::Database, state.app.store.clone());
    let (version, latency) = timed(async move { store.database_version().await }).await;
    let store = state.app.store.clone();
    let found = probe(async move { store.database_state().await }).await;
    let (state, problem) = match found {
        Some(Ok(DatabaseState::Ready)) => (Healthy, None),
        Some(Ok(DatabaseState::ReadOnly)) => (Degraded, Some("read_only")),
        Some(Ok(DatabaseState::NotMigrated)) => (Degraded, Some("not_migrated")),
        Some(Err(_)) | None => (Unavailable, Some("unreachable")),
    };
    let version = version.and_then(Result::ok);
    DependencyBody {
        problem: problem.map(str::to_owned),
        latency_ms: version.is_some().then_some(latency),
        version,
        ..DependencyBody::new(name, state)
    }
}

async fn storage(state: &AppState) -> DependencyBody {
    let (name, bytes) = (DependencyName::FileStorage, state.app.bytes.clone());
    match timed(async move { bytes.check().await }).await {
        (Some(Ok(())), latency) => DependencyBody {
            latency_ms: Some(latency),
            ..DependencyBody::new(name, DependencyState::Healthy)
        },
        _ => DependencyBody::with_problem(name, DependencyState::Unavailable, "unreachable"),
    }
}

async fn temporal(state: &AppState) -> DependencyBody {
    let (name, dispatch) = (DependencyName::Temporal, state.app.dispatch.clone());
    let (version, latency) = timed(async move { dispatch.temporal_version().await }).await;
    let problem = match probe((state.app.temporal_health)()).await {
        Some(checked) => checked.err(),
        None => Some(StartProblem::TemporalUnreachable),
    };
    let version = version.flatten();
    let state = match problem {
        None => DependencyState::Healthy,
        Some(StartProblem::TemporalUnreachable) => DependencyState::Unavailable,
        Some(_) => DependencyState::Degraded,
    };
    DependencyBody {
        problem: problem.map(|problem| problem.to_string()),
        latency_ms: version.is_some().then_some(latency),
        version,
        ..DependencyBody::new(name, state)
    }
}

/// Returns the state of LoopAI and of the mail server, which only the workers contact.
async fn workers(state: &AppState) -> (DependencyBody, DependencyBody) {
    let store = state.app.store.clone();
    let read = probe(async move {
        let contacts = (store.loopai_contact().await?, store.email_contact().await?);
        let paused = store.pauses().await?.into_iter().map(|pause| pause.target);
        let overdue = store.count_overdue_emails().await?;
        Ok::<_, diagflow_store::StoreError>((contacts, paused.collect::<Vec<_>>(), overdue))
    });
    let unknown = |name| DependencyBody::new(name, DependencyState::Unknown);
    match read.await {
        Some(Ok(((loopai_contact, email_contact), paused, overdue))) => (
            loopai(loopai_contact, paused.contains(&PauseTarget::LoopaiRequests)),
            mail_server(email_contact, paused.contains(&PauseTarget::Emails), overdue),
        ),
        _ => (unknown(DependencyName::LoopAi), unknown(DependencyName::MailServer)),
    }
}

fn loopai(contact: LoopAiContact, is_paused: bool) -> DependencyBody {
    use DependencyState::{Degraded, Healthy, Paused, Unavailable};
    let (state, problem) = match contact.breaker {
        _ if is_paused => (Paused, None),
        BreakerState::Open => (Unavailable, Some("breaker_open")),
        BreakerState::HalfOpen => (Degraded, Some("breaker_half_open")),
        BreakerState::Closed if !contact.has_recovered => (Degraded, Some("request_failed")),
        BreakerState::Closed => (Healthy, None),
    };
    DependencyBody {
        problem: problem.map(str::to_owned),
        succeeded_at: contact.result_at,
        failed_at: contact.failed_at,
        ..DependencyBody::new(DependencyName::LoopAi, state)
    }
}

fn mail_server(contact: EmailContact, is_paused: bool, overdue: i64) -> DependencyBody {
    use DependencyState::{Degraded, Healthy, Paused, Unavailable};
    let (failed_at, code) = contact.failed.unzip();
    // The address of a single e-mail may be the problem, unless nothing has been sent since.
    let has_failed = failed_at > contact.sent_at;
    let (state, problem) = match overdue > 0 {
        _ if is_paused => (Paused, None),
        true if has_failed => (Unavailable, Some("emails_overdue".to_owned())),
        true => (Degraded, Some("emails_overdue".to_owned())),
        false if has_failed => (Degraded, code.flatten()),
        false => (Healthy, None),
    };
    DependencyBody {
        problem,
        succeeded_at: contact.sent_at,
        failed_at,
        ..DependencyBody::new(DependencyName::MailServer, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcTime {
        UtcTime::from_micros(seconds * 1_000_000).expect("a time")
    }

    #[test]
    fn the_state_of_loopai_follows_the_breaker_and_the_pause() {
        let contact = |breaker, has_recovered| LoopAiContact {
            breaker,
            failed_at: Some(at(1)),
            has_recovered,
            result_at: None,
        };
        for (contact, is_paused, expected) in [
            (contact(BreakerState::Closed, true), false, DependencyState::Healthy),
            (contact(BreakerState::Closed, false), false, DependencyState::Degraded),
            (contact(BreakerState::HalfOpen, true), false, DependencyState::Degraded),
            (contact(BreakerState::Open, false), false, DependencyState::Unavailable),
            (contact(BreakerState::Open, false), true, DependencyState::Paused),
        ] {
            assert_eq!(loopai(contact, is_paused).state, expected, "{contact:?}");
        }
    }

    #[test]
    fn the_state_of_the_mail_server_follows_the_latest_emails() {
        let contact = |sent: Option<i64>, failed: Option<i64>| EmailContact {
            sent_at: sent.map(at),
            failed: failed.map(|failed| (at(failed), Some("mailbox_unavailable".to_owned()))),
        };
        for (contact, overdue, state, problem) in [
            (contact(None, None), 0, DependencyState::Healthy, None),
            (contact(Some(2), Some(1)), 0, DependencyState::Healthy, None),
            (contact(Some(1), Some(2)), 0, DependencyState::Degraded, Some("mailbox_unavailable")),
            (contact(Some(2), Some(1)), 1, DependencyState::Degraded, Some("emails_overdue")),
            (contact(Some(1), Some(2)), 1, DependencyState::Unavailable, Some("emails_overdue")),
        ] {
            let body = mail_server(contact.clone(), false, overdue);
            assert_eq!((body.state, body.problem.as_deref()), (state, problem), "{contact:?}");
        }
    }
}
