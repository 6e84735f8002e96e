//! Keeps a checked submission: claims its Idempotency-Key, stores the bytes, then everything else in
//! one transaction, and asks for its run to be started.
//!
//! Runs to its end even if the client goes away (see [`crate::layers::time_limit::to_its_end`]), so nothing is
//! left half-made by that. Bytes that were stored for a submission that was not are swept after a while
//! ([`crate::dispatch::unnamed`]).

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult, kind};
use crate::header_names::IDEMPOTENCY_KEY;
use crate::intake::accepted::Accepted;
use axum::http::HeaderMap;
use bytes::Bytes;
use diagflow_store::{
    Action, BytesError, Consent, Failpoint, IdempotencyClaim, KeyHash, KeyState, NewSubmission,
    ObjectKind, RunKey, Sha256, SubmissionId,
};
use futures::future::try_join_all;
use tokio::time::timeout;

/// Longest key, in bytes.
const LONGEST_KEY: usize = 255;
/// Number of a submission's first run.
const FIRST_RUN: i32 = 1;

/// A submission that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// By this request.
    Now(SubmissionId),
    /// By an earlier one with the same key and content.
    Before(SubmissionId),
}

/// Reads the Idempotency-Key, and forgets it: only its digest is used and stored.
///
/// # Errors
/// When it is not one text of 1 to 255 visible ASCII characters.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<KeyHash>> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.as_bytes();
    let valid = (1..=LONGEST_KEY).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    if !valid || keys.next().is_some() {
        return Err(ApiError::InvalidIdempotencyKey);
    }
    Ok(Some(Sha256::of(key)))
}

/// See the head of this file.
///
/// # Errors
/// When the key is in use or was used for something else, or storing fails.
pub(crate) async fn keep(
    state: &AppState,
    key: Option<KeyHash>,
    accepted: Accepted,
    sender: Option<Caller>,
) -> ApiResult<Kept> {
    let claim = match key {
        None => None,
        Some(key) => match claim(state, key, &accepted).await? {
            KeyState::Claimed(claim) => Some(claim),
            KeyState::Answered(submission) => return Ok(Kept::Before(submission)),
            KeyState::Busy => return Err(ApiError::IdempotencyKeyInUse),
            KeyState::OtherBody => return Err(ApiError::IdempotencyKeyReused),
        },
    };
    let stored = store(state, accepted, sender, claim.as_ref()).await;
    if let (Err(_), Some(claim)) = (&stored, &claim) {
        // Only so that a repeat need not wait for the claim's end.
        if let Err(error) = state.app.store.release_key(claim).await {
            tracing::debug!(
                error = kind(&error),
                "a claim was not released, it will end by itself"
            );
        }
    }
    stored.map(Kept::Now)
}

async fn claim(state: &AppState, key: KeyHash, accepted: &Accepted) -> ApiResult<KeyState> {
    let settings = &state.app.settings;
    let (lease, lifetime) = (settings.idempotency_lease, settings.idempotency_lifetime);
    Ok(state.app.store.claim_key(key, accepted.digest(), lease, lifetime).await?)
}

async fn store(
    state: &AppState,
    accepted: Accepted,
    sender: Option<Caller>,
    claim: Option<&IdempotencyClaim>,
) -> ApiResult<SubmissionId> {
    if let Some(fault) = accepted.outdated {
        return Err(ApiError::InvalidSubmission(vec![fault]));
    }
    let (records, bytes): (Vec<_>, Vec<_>) =
        accepted.images.into_iter().map(|image| (image.record, image.bytes)).unzip();
    let digests: Vec<_> = records.iter().map(|record| record.sha256).collect();
    state.app.store.announce_bytes(&digests).await?;
    let settings = &state.app.settings;
    // Less than the whole request gets, so that who is told to come again is told in time, and why. The storage
    // may go on writing; the bytes' share of the memory is free when it has ended (`intake::memory`).
    let limit = settings.request_time / 2;
    let Ok(put) = timeout(limit, put(state, bytes)).await else {
        return Err(ApiError::Unavailable("the file storage does not answer".to_owned()));
    };
    put?;

    let version = accepted.consent_version.unwrap_or_else(|| settings.consent_version.clone());
    let id = SubmissionId::new();
    let line = sender.as_ref().map(|sender| {
        let line = sender.did(Action::SubmissionCreate, ObjectKind::Submission, id);
        line.with("files", records.len())
    });
    let new = NewSubmission {
        id,
        email: accepted.email,
        comments: accepted.comments,
        consent: Consent { version },
        files: records,
        start_grace: settings.start_grace,
        submitted_by: sender.map(|sender| sender.user.id),
        line,
    };
    if !state.app.store.create_submission(&new, claim).await? {
        return Err(ApiError::IdempotencyKeyInUse);
    }
    Failpoint::SubmissionStored.pass().await;
    state.app.outbox.start_soon(RunKey { submission: new.id, number: FIRST_RUN });
    Ok(new.id)
}

async fn put(state: &AppState, images: Vec<Bytes>) -> Result<(), BytesError> {
    Failpoint::BytesUnstored.pass().await;
    try_join_all(images.into_iter().map(|image| state.app.bytes.put(image))).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(keys: &[&[u8]]) -> ApiResult<Option<KeyHash>> {
        let mut headers = HeaderMap::new();
        for key in keys {
            let value = HeaderValue::from_bytes(key).expect("a header's value");
            headers.append(IDEMPOTENCY_KEY, value);
        }
        idempotency_key(&headers)
    }

    #[test]
    fn a_key_is_one_visible_text() {
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
