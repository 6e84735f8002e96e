//! Receives and stores a submission, for the API and for the form on the start page.

use crate::app::AppState;
use crate::auth::audit::RequestTarget;
use crate::auth::caller::Caller;
use crate::auth::credentials::{authenticate, bearer};
use crate::auth::guard::optional_caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::client_info::ClientInfo;
use crate::intake::form_texts::FormTexts;
use crate::intake::receive::receive;
use crate::intake::store::{StoredSubmission, idempotency_key, store_submission};
use crate::layers::limiters::{Counted, RateLimitClass};
use crate::own_task::run_to_completion;
use crate::telemetry;
use axum::extract::Request;
use diagflow_locales::Language;

/// What came of a request that was counted.
pub(crate) struct SubmitOutcome {
    pub(crate) stored: ApiResult<StoredSubmission>,
    /// The texts of the form, if the request contained a form.
    pub(crate) texts: FormTexts,
    /// The request as counted, for the response headers.
    pub(crate) counted: Counted,
}

/// Counts a request towards the limit for submissions.
pub(crate) fn count(state: &AppState, request: &Request) -> ApiResult<Counted> {
    let proxies = &state.app.settings.proxies;
    let client = ClientInfo::of(request.headers(), request.extensions(), proxies);
    state.limiters.count(RateLimitClass::Submit, client.key())
}

/// Receives and stores a submission, even if the client disconnects after it was sent. `language` is the language of
/// its e-mails.
pub(crate) async fn submit(
    state: &AppState,
    request: Request,
    language: Language,
    counted: Counted,
) -> SubmitOutcome {
    let owned = state.clone();
    let done = run_to_completion(async move {
        let mut texts = FormTexts::default();
        let stored = receive_and_store(&owned, request, language, &mut texts).await;
        // The count is reverted here so that it happens even if the client has disconnected.
        let counts = counts_as_submission(&stored);
        let counted = if counts { counted } else { owned.limiters.revert(counted) };
        SubmitOutcome { stored, texts, counted }
    });
    let outcome = done.await.unwrap_or_else(|panicked| SubmitOutcome {
        stored: Err(panicked),
        texts: FormTexts::default(),
        counted,
    });
    telemetry::submission(match &outcome.stored {
        Ok(StoredSubmission::Created(_)) => "accepted",
        Ok(StoredSubmission::Replayed(_)) => "replayed",
        Err(error) => error.code(),
    });
    outcome
}

/// Whether a request counts towards the submission limit. A request counts if its submission was stored or may have
/// been stored.
fn counts_as_submission(stored: &ApiResult<StoredSubmission>) -> bool {
    match stored {
        Ok(StoredSubmission::Created(_)) => true,
        Ok(StoredSubmission::Replayed(_)) => false,
        Err(error) => matches!(error, ApiError::OutcomeUnknown | ApiError::Internal(_)),
    }
}

async fn receive_and_store(
    state: &AppState,
    request: Request,
    language: Language,
    texts: &mut FormTexts,
) -> ApiResult<StoredSubmission> {
    let key = idempotency_key(request.headers())?;
    let sender = sender(state, &request).await?;
    let submission = receive(state, request, texts).await?;
    let key = match key {
        Some(key) => Some(key),
        None => texts.idempotency_key()?,
    };
    let owned = state.clone();
    let stored = run_to_completion(async move {
        store_submission(&owned, key, submission, language, sender).await
    });
    match tokio::time::timeout(state.app.settings.request_timeout, stored).await {
        Ok(stored) => stored.flatten(),
        // The submission may still be stored after this timeout.
        Err(_) => Err(ApiError::OutcomeUnknown),
    }
}

/// Returns the account that sent the submission, if any. The existing front end sends submissions without an account.
fn sender(
    state: &AppState,
    request: &Request,
) -> impl Future<Output = ApiResult<Option<Caller>>> + Send + use<> {
    let (state, target) = (state.clone(), RequestTarget::of(request));
    let headers = request.headers().clone();
    let proxies = &state.app.settings.proxies;
    let client = ClientInfo::of(&headers, request.extensions(), proxies);
    async move {
        if bearer(&headers).is_some() {
            return optional_caller(&state, &target, &headers, client).await;
        }
        // Browsers send session cookies automatically, even after the session has ended. An expired session must not
        // cause a submission to be rejected.
        match authenticate(&state, target.method(), &headers, client).await {
            Ok(caller) => Ok(caller),
            Err(failure) if failure.error.is_client_error() => Ok(None),
            Err(failure) => Err(failure.error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagflow_store::SubmissionId;

    #[test]
    fn a_request_counts_only_if_its_submission_may_have_been_stored() {
        let id = SubmissionId::new();
        for stored in [
            Ok(StoredSubmission::Created(id)),
            Err(ApiError::OutcomeUnknown),
            Err(ApiError::internal("a panic")),
        ] {
            assert!(counts_as_submission(&stored), "{stored:?}");
        }
        for refused in [
            Ok(StoredSubmission::Replayed(id)),
            Err(ApiError::InvalidSubmission(Vec::new())),
            Err(ApiError::IdempotencyKeyInUse),
            Err(ApiError::IdempotencyKeyReused),
            Err(ApiError::TokenRevoked),
            Err(ApiError::UploadTimeout),
            Err(ApiError::UploadIncomplete),
            Err(ApiError::Busy),
            Err(ApiError::TooManyOpenSubmissions),
            Err(ApiError::DailyLimitReached { seconds: 1 }),
            Err(ApiError::unavailable("no database")),
        ] {
            assert!(!counts_as_submission(&refused), "{refused:?}");
        }
    }
}
