//! Names each request: in its answer, in every log line about it, and in every refusal.

use crate::header_names::X_REQUEST_ID;
use axum::http::{HeaderMap, HeaderValue};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// Longest id taken from a client or proxy.
const MAX_LENGTH: usize = 128;

/// Name of a request: letters, digits, `-`, `_` and `.`, so it can stand anywhere.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The one that the request brings, when it is sane; else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let is_valid = |text: &&str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_allowed)
        };
        let given =
            headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_valid);
        Self(given.map_or_else(|| Uuid::new_v4().to_string().into(), Into::into))
    }

    /// As a header's value.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("only plain ASCII characters")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

tokio::task_local! {
    static CURRENT: RequestId;
}

/// Runs `work` as part of the request `id`.
pub(crate) async fn scope<T>(id: RequestId, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

/// The request that this code runs for; a new name outside of all requests.
pub(crate) fn current() -> RequestId {
    CURRENT.try_with(Clone::clone).unwrap_or_else(|_| RequestId::of(&HeaderMap::new()))
}
