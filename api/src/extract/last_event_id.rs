use crate::header_names::LAST_EVENT_ID;
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;
use utoipa::openapi::{Required, Type};

/// The id of the last event that the client received. `None` if the client did not send a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastEventId(Option<i64>);

impl LastEventId {
    /// Returns the id if it has ever been assigned. `newest` is the newest assigned id.
    pub(crate) fn up_to(self, newest: i64) -> Option<i64> {
        self.0.filter(|id| (0..=newest).contains(id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let value = parts.headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
        Ok(Self(value.and_then(|text| text.trim().parse().ok())))
    }
}

impl Documented for LastEventId {
    fn document(route: &mut RouteDocument<'_>) {
        route.add_header(
            "Last-Event-ID",
            Type::String,
            Required::False,
            "Id of the last event received. An id that was never assigned is ignored.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use futures::FutureExt;

    async fn last_event_id(text: &str) -> LastEventId {
        let request = Request::builder().header(LAST_EVENT_ID, text).body(()).expect("a request");
        let Ok(id) = LastEventId::from_request_parts(&mut request.into_parts().0, &()).await;
        id
    }

    #[test]
    fn an_id_that_was_never_assigned_is_ignored() {
        let id = |text| last_event_id(text).now_or_never().expect("ready").up_to(5);
        assert_eq!((id("1"), id(" 3 "), id("5")), (Some(1), Some(3), Some(5)));
        for invalid in ["6", "-1", "99999999999999999999", "abc", "", "1.5", "0x2", "1 2"] {
            assert_eq!(id(invalid), None, "{invalid:?}");
        }
    }
}
