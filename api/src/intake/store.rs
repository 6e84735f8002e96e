//! Stores a valid submission: claims its idempotency key, stores the images, stores all other data in one transaction,
//! and queues the first run.
//!
//! Callers run [`store_submission`] to completion ([`crate::own_task::run_to_completion`]) even if the client
//! disconnects. Images without a submission are removed later ([`crate::dispatch::orphaned_files`]).

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::header_names::IDEMPOTENCY_KEY;
use crate::intake::valid_submission::ValidSubmission;
use crate::layers::observe::record_submission;
use crate::openapi::route::RouteDocument;
use axum::http::HeaderMap;
use bytes::Bytes;
use diagflow_locales::Language;
use diagflow_store::{
    Action, BlobError, Consent, CreateOutcome, Failpoint, IdempotencyClaim, IdempotencyKeyHash,
    IdempotencyState, NewSubmission, ObjectKind, RunKey, Sha256, SubmissionId, UserId,
};
use futures::future::try_join_all;
use tokio::time::timeout;
use utoipa::openapi::{Required, Type};

const MAX_KEY_BYTES: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredSubmission {
    Created(SubmissionId),
    /// An earlier request with the same key and content has already stored the submission.
    Replayed(SubmissionId),
}

/// A valid Idempotency-Key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    pub(crate) fn parse(text: &str) -> ApiResult<Self> {
        let is_valid = (1..=MAX_KEY_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then(|| Self(text.to_owned())).ok_or(ApiError::InvalidIdempotencyKey)
    }

    /// Returns the digest under which the key is stored. The same key sent by another account, or by an anonymous
    /// client, has a different digest.
    fn digest(&self, sender: Option<UserId>) -> IdempotencyKeyHash {
        match sender {
            None => Sha256::of(self.0.as_bytes()),
            // Keys cannot contain spaces, so no anonymous client can choose a key with this digest.
            Some(account) => Sha256::of(format!("{account} {}", self.0).as_bytes()),
        }
    }
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<IdempotencyKey>> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    match key.to_str() {
        Ok(key) if keys.next().is_none() => IdempotencyKey::parse(key).map(Some),
        _ => Err(ApiError::InvalidIdempotencyKey),
    }
}

pub(crate) fn document_idempotency_key(route: &mut RouteDocument<'_>) {
    route.add_header(
        "Idempotency-Key",
        Type::String,
        Required::False,
        "Key of 1 to 255 visible ASCII characters. A request with a key can be repeated safely for at least 24 hours. \
         Keys are scoped to the account that sends them; clients without an account share one scope. A request that is \
         repeated from a different account, or without the account, creates a new submission.",
    );
    route.add_errors(&[ErrorCode::InvalidIdempotencyKey]);
}

pub(crate) const STORE_ERRORS: [ErrorCode; 9] = [
    ErrorCode::InvalidSubmission,
    ErrorCode::IdempotencyKeyInUse,
    ErrorCode::IdempotencyKeyReused,
    ErrorCode::TokenRevoked,
    ErrorCode::TooManyOpenSubmissions,
    ErrorCode::DailyLimitReached,
    ErrorCode::Internal,
    ErrorCode::Unavailable,
    ErrorCode::OutcomeUnknown,
];

pub(crate) async fn store_submission(
    state: &AppState,
    key: Option<IdempotencyKey>,
    submission: ValidSubmission,
    language: Language,
    sender: Option<Caller>,
) -> ApiResult<StoredSubmission> {
    let account = sender.as_ref().map(|sender| sender.user.id);
    let claim = match key {
        None => None,
        Some(key) => match claim(state, key.digest(account), &submission).await? {
            IdempotencyState::Claimed(claim) => Some(claim),
            IdempotencyState::Completed(submission) => {
                record_submission(submission);
                if state.app.store.is_token_revoked(submission).await? {
                    return Err(ApiError::TokenRevoked);
                }
                return Ok(StoredSubmission::Replayed(submission));
            }
            IdempotencyState::InProgress => return Err(ApiError::IdempotencyKeyInUse),
            IdempotencyState::BodyMismatch => return Err(ApiError::IdempotencyKeyReused),
        },
    };
    let stored = create(state, submission, language, sender, claim.as_ref()).await;
    if let (Err(_), Some(claim)) = (&stored, &claim) {
        // Release the claim, so that a repeated request does not have to wait until it expires.
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
    language: Language,
    sender: Option<Caller>,
    claim: Option<&IdempotencyClaim>,
) -> ApiResult<SubmissionId> {
    if let Some(field_error) = submission.outdated {
        return Err(ApiError::InvalidSubmission(vec![field_error]));
    }
    let settings = &state.app.settings;
    let limits = settings.recipient_limits;
    // This check, which takes no lock, avoids storing the images of a submission that will be refused.
    let exceeded = state.app.store.exceeded_recipient_limit(&submission.email, limits).await?;
    if let Some(limit) = exceeded {
        return Err(limit.into());
    }
    let (records, bytes): (Vec<_>, Vec<_>) =
        submission.images.into_iter().map(|image| (image.record, image.bytes)).unzip();
    let digests: Vec<_> = records.iter().map(|record| record.sha256).collect();
    state.app.store.reserve_blobs(&digests).await?;
    // This limit is shorter than the limit for the whole request, so clients that must retry get their 503 early
    // enough. The storage may continue writing after the timeout. The images' memory is released when the storage
    // finishes (`intake::upload_memory`).
    let limit = settings.request_timeout / 2;
    let Ok(put) = timeout(limit, put_images(state, bytes)).await else {
        return Err(ApiError::unavailable("the file storage does not respond"));
    };
    put?;

    let version = submission.consent_version.unwrap_or_else(|| settings.consent_version.clone());
    let id = SubmissionId::new();
    record_submission(id);
    let entry = sender.as_ref().map(|sender| {
        let entry = sender.audit_entry(Action::SubmissionCreate, ObjectKind::Submission, id);
        entry.with("files", records.len())
    });
    let new = NewSubmission {
        id,
        email: submission.email,
        comments: submission.comments,
        consent: Consent { version },
        language,
        files: records,
        start_grace: settings.start_grace,
        submitted_by: sender.map(|sender| sender.user.id),
        audit_entry: entry,
    };
    match state.app.store.create_submission(&new, limits, claim).await? {
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

    fn read(keys: &[&[u8]]) -> ApiResult<Option<IdempotencyKey>> {
        let mut headers = HeaderMap::new();
        for key in keys {
            let value = HeaderValue::from_bytes(key).expect("a header value");
            headers.append(IDEMPOTENCY_KEY, value);
        }
        idempotency_key(&headers)
    }

    #[test]
    fn an_idempotency_key_must_have_1_to_255_visible_ascii_characters() {
        assert!(matches!(read(&[]), Ok(None)));
        assert_eq!(read(&[b"abc"]).expect("valid"), Some(IdempotencyKey("abc".to_owned())));
        assert!(read(&[&[b'x'; 255]]).is_ok());
        for wrong in
            [&[b"".as_slice()][..], &[b"a b"], &[b"\xc3\xa4"], &[&[b'x'; 256]], &[b"a", b"a"]]
        {
            assert!(matches!(read(wrong), Err(ApiError::InvalidIdempotencyKey)), "{wrong:?}");
        }
    }

    #[test]
    fn the_same_key_from_another_sender_has_a_different_digest() {
        let key = IdempotencyKey("key-1".to_owned());
        let (ana, ben) = (UserId::new(), UserId::new());
        assert_eq!(key.digest(Some(ana)), key.digest(Some(ana)));
        assert_ne!(key.digest(Some(ana)), key.digest(Some(ben)));
        assert_ne!(key.digest(Some(ana)), key.digest(None));
    }
}
