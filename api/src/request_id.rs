//! Request ids, which appear in response headers, log lines and error responses.

use crate::header_names::X_REQUEST_ID;
use axum::http::{HeaderMap, HeaderValue};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

const MAX_LENGTH: usize = 128;

/// A request id consists only of letters, digits, `-`, `_` and `.`, so it never needs escaping.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// Returns the id from the request headers if it is valid, and a new id otherwise.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let is_valid = |text: &&str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_allowed)
        };
        let given =
            headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_valid);
        Self(given.map_or_else(|| Uuid::new_v4().to_string().into(), Into::into))
    }

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

pub(crate) async fn scope<T>(id: RequestId, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

/// Returns the id of the current request, or a new id when called outside a request.
pub(crate) fn current() -> RequestId {
    CURRENT.try_with(Clone::clone).unwrap_or_else(|_| RequestId::of(&HeaderMap::new()))
}
