//! Access to event streams. An `EventSource` never reconnects after an error response, so a stream is opened even if
//! the reader's permission cannot currently be checked against the database. Such a stream carries only heartbeats
//! until the permission has been confirmed, and ends if the reader turns out not to have it.
//!
//! Only readers with an unexpired access token issued by this service can open such a stream, because the token can be
//! verified without the database. Otherwise, anyone could open streams during an outage.

use crate::app::AppState;
use crate::auth::cookies;
use crate::auth::credentials::bearer;
use crate::auth::watch::AccessWatch;
use crate::error::ApiResult;
use crate::own_task::run_to_completion;
use crate::request_id;
use axum::http::HeaderMap;
use diagflow_store::UserId;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum time that the response waits for the database. After that, the stream is opened and waits instead.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed query.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) enum StreamAccess {
    Granted(AccessWatch),
    /// The database is not responding. Once it does, resolves to the watch, or to `None` if the reader has no access.
    Pending(BoxFuture<'static, Option<AccessWatch>>),
}

impl StreamAccess {
    /// `authorize` checks access against the database, and may be called several times. Waits for the first call until
    /// `deadline`.
    pub(crate) async fn obtain<F>(
        authorize: impl Fn() -> F + Send + 'static,
        deadline: Instant,
    ) -> ApiResult<StreamAccess>
    where
        F: Future<Output = ApiResult<AccessWatch>> + Send + 'static,
    {
        let mut attempt = run_to_completion(authorize()).boxed();
        match tokio::time::timeout_at(deadline, &mut attempt).await.map(Result::flatten) {
            Ok(Ok(watch)) => return Ok(StreamAccess::Granted(watch)),
            Ok(Err(error)) if !error.is_database_outage() => return Err(error),
            Ok(Err(_)) => attempt = run_after_pause(authorize()),
            Err(_) => {}
        }
        let id = request_id::current();
        let granted = async move {
            loop {
                match attempt.await.flatten() {
                    Ok(watch) => return Some(watch),
                    Err(error) if error.is_database_outage() => {
                        attempt = run_after_pause(authorize());
                    }
                    Err(_) => return None,
                }
            }
        };
        Ok(StreamAccess::Pending(request_id::scope(id, granted).boxed()))
    }

    /// Returns the reader's account, if it is already known.
    pub(crate) fn account(&self) -> Option<UserId> {
        match self {
            StreamAccess::Granted(watch) => watch.account(),
            StreamAccess::Pending(_) => None,
        }
    }

    pub(crate) fn is_pending(&self) -> bool {
        matches!(self, StreamAccess::Pending(_))
    }
}

fn run_after_pause<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> BoxFuture<'static, ApiResult<T>> {
    async move {
        tokio::time::sleep(RETRY).await;
        run_to_completion(work).await
    }
    .boxed()
}

/// Whether a request includes an unexpired access token that we issued. The token's session may have ended.
pub(crate) fn has_signed_token(state: &AppState, headers: &HeaderMap) -> bool {
    let token = bearer(headers).map(str::to_owned);
    let token = token.or_else(|| cookies::access_token(&state.app.settings, headers));
    token.is_some_and(|token| state.keys.access_tokens.verify(&token).is_ok())
}
