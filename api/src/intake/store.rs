//! Stores a valid submission: claims its Idempotency-Key, stores the images, then everything else in one
//! transaction, and queues its run.
//!
//! Callers run [`store_submission`] to completion ([`crate::layers::time_limit::run_to_completion`]) even if the client
//! disconnects. Images without a submission are removed later ([`crate::dispatch::orphaned_files`]).

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::header_names::IDEMPOTENCY_KEY;
use crate::intake::valid_submission::ValidSubmission;
use crate::openapi::route::RouteDocument;
use axum::http::HeaderMap;
use bytes::Bytes;
use diagflow_store::{
    Action, BlobError, Consent, CreateOutcome, Failpoint, IdempotencyClaim, IdempotencyKeyHash,
    IdempotencyState, NewSubmission, ObjectKind, RunKey, Sha256, SubmissionId,
};
use futures::future::try_join_all;
use tokio::time::timeout;
use utoipa::openapi::{Required, Type};

const MAX_KEY_BYTES: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredSubmission {
    Created(SubmissionId),
    /// An earlier request with the same key and content has stored the submission.
    Replayed(SubmissionId),
}

/// The digest of the Idempotency-Key; the key itself is not stored.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<IdempotencyKeyHash>> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.as_bytes();
    let valid = (1..=MAX_KEY_BYTES).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    if !valid || keys.next().is_some() {
        return Err(ApiError::InvalidIdempotencyKey);
    }
    Ok(Some(Sha256::of(key)))
}

pub(crate) fn document_idempotency_key(route: &mut RouteDocument<'_>) {
    route.add_header(
        "Idempotency-Key",
        Type::String,
        Required::False,
        "Key of 1 to 255 visible ASCII characters. Makes it safe to repeat the request for at least 24 hours.",
    );
    route.add_errors(&[ErrorCode::InvalidIdempotencyKey]);
}

pub(crate) const STORE_ERRORS: [ErrorCode; 8] = [
    ErrorCode::InvalidSubmission,
    ErrorCode::IdempotencyKeyInUse,
    ErrorCode::IdempotencyKeyReused,
    ErrorCode::TooManyOpenSubmissions,
    ErrorCode::DailyLimitReached,
    ErrorCode::Internal,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
];

pub(crate) async fn store_submission(
    state: &AppState,
    key: Option<IdempotencyKeyHash>,
    submission: ValidSubmission,
    sender: Option<Caller>,
) -> ApiResult<StoredSubmission> {
    let claim = match key {
        None => None,
        Some(key) => match claim(state, key, &submission).await? {
            IdempotencyState::Claimed(claim) => Some(claim),
            IdempotencyState::Completed(submission) => {
                return Ok(StoredSubmission::Replayed(submission));
            }
            IdempotencyState::InProgress => return Err(ApiError::IdempotencyKeyInUse),
            IdempotencyState::BodyMismatch => return Err(ApiError::IdempotencyKeyReused),
        },
    };
    let stored = create(state, submission, sender, claim.as_ref()).await;
    if let (Err(_), Some(claim)) = (&stored, &claim) {
        // A repeated request then does not have to wait until the claim expires.
        if let Err(error) = state.app.store.release_idempotency_key(claim).await {
            tracing::debug!(
                error = error.kind(),
                "idempotency key not released; its claim will expire"
            );
        }
    }
    stored.map(StoredSubmission::Created)
}

async fn claim(
    state: &AppState,
    key: IdempotencyKeyHash,
    submission: &ValidSubmission,
) -> ApiResult<IdempotencyState> {
    let settings = &state.app.settings;
    let (lease, lifetime) = (settings.idempotency_lease, settings.idempotency_lifetime);
    Ok(state.app.store.claim_idempotency_key(key, submission.digest(), lease, lifetime).await?)
}

async fn create(
    state: &AppState,
    submission: ValidSubmission,
    sender: Option<Caller>,
    claim: Option<&IdempotencyClaim>,
) -> ApiResult<SubmissionId> {
    if let Some(field_error) = submission.outdated {
        return Err(ApiError::InvalidSubmission(vec![field_error]));
    }
    let (records, bytes): (Vec<_>, Vec<_>) =
        submission.images.into_iter().map(|image| (image.record, image.bytes)).unzip();
    let digests: Vec<_> = records.iter().map(|record| record.sha256).collect();
    state.app.store.reserve_blobs(&digests).await?;
    let settings = &state.app.settings;
    // Shorter than the limit of the whole request, so that clients that must retry get their 503 early enough.
    // The storage may continue writing; the memory of the bytes is released when it finishes
    // (`intake::upload_memory`).
    let limit = settings.request_timeout / 2;
    let Ok(put) = timeout(limit, put_images(state, bytes)).await else {
        return Err(ApiError::unavailable("the file storage does not respond"));
    };
    put?;

    let version = submission.consent_version.unwrap_or_else(|| settings.consent_version.clone());
    let id = SubmissionId::new();
    let entry = sender.as_ref().map(|sender| {
        let entry = sender.audit_entry(Action::SubmissionCreate, ObjectKind::Submission, id);
        entry.with("files", records.len())
    });
    let new = NewSubmission {
        id,
        email: submission.email,
        comments: submission.comments,
        consent: Consent { version },
        files: records,
        start_grace: settings.start_grace,
        submitted_by: sender.map(|sender| sender.user.id),
        audit_entry: entry,
    };
    match state.app.store.create_submission(&new, settings.recipient_limits, claim).await? {
        CreateOutcome::Created => {}
        CreateOutcome::ClaimLost => return Err(ApiError::IdempotencyKeyInUse),
        CreateOutcome::LimitExceeded(limit) => return Err(limit.into()),
    }
    Failpoint::AfterSubmissionCommit.pass().await;
    state.app.dispatch.start_soon(RunKey::first(new.id));
    Ok(new.id)
}

async fn put_images(state: &AppState, images: Vec<Bytes>) -> Result<(), BlobError> {
    Failpoint::BeforeBlobStored.pass().await;
    try_join_all(images.into_iter().map(|image| state.app.bytes.put(image))).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(keys: &[&[u8]]) -> ApiResult<Option<IdempotencyKeyHash>> {
        let mut headers = HeaderMap::new();
        for key in keys {
            let value = HeaderValue::from_bytes(key).expect("a header value");
            headers.append(IDEMPOTENCY_KEY, value);
        }
        idempotency_key(&headers)
    }

    #[test]
    fn an_idempotency_key_has_1_to_255_visible_ascii_characters() {
        assert!(matches!(read(&[]), Ok(None)));
        assert_eq!(read(&[b"abc"]).expect("valid"), Some(Sha256::of(b"abc")));
        assert!(read(&[&[b'x'; 255]]).is_ok());
        for wrong in
            [&[b"".as_slice()][..], &[b"a b"], &[b"\xc3\xa4"], &[&[b'x'; 256]], &[b"a", b"a"]]
        {
            assert!(matches!(read(wrong), Err(ApiError::InvalidIdempotencyKey)), "{wrong:?}");
        }
    }
}
