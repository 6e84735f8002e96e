//! Checks the `If-Match` precondition (RFC 9110, 13.1.1), which prevents lost updates.

use crate::error::{ApiError, ErrorCode};
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum_extra::headers::{self, ETag, HeaderMapExt};
use utoipa::openapi::{Required, Type};

/// The `ETag` of a submission. It covers only the fields staff can edit, so a run's progress does not cause a staff
/// edit to be rejected.
pub(crate) fn etag(revision: i32) -> ETag {
    format!("\"{revision}\"").parse().expect("digits in quotes are an ETag")
}

/// The required `If-Match` header.
pub(crate) struct IfMatch(headers::IfMatch);

impl IfMatch {
    pub(crate) fn allows(&self, revision: i32) -> bool {
        self.0.precondition_passes(&etag(revision))
    }

    /// Whether the change may overwrite other people's changes.
    pub(crate) fn is_any(&self) -> bool {
        self.0.is_any()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.headers.typed_get().map(Self).ok_or(ApiError::PreconditionRequired)
    }
}

impl Documented for IfMatch {
    fn document(route: &mut RouteDocument<'_>) {
        let description =
            "`ETag` returned when the submission was read. `*` overwrites other people's changes.";
        route.add_header("If-Match", Type::String, Required::True, description);
        route.add_errors(&[ErrorCode::PreconditionRequired, ErrorCode::PreconditionFailed]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn allows(value: Option<&str>, revision: i32) -> Result<bool, &'static str> {
        let request = Request::get("/");
        let request = value.into_iter().fold(request, |it, value| it.header("if-match", value));
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        let if_match = IfMatch::from_request_parts(&mut parts, &()).await;
        if_match.map(|it| it.allows(revision)).map_err(|error| error.code())
    }

    #[tokio::test]
    async fn only_the_current_etag_allows_a_change() {
        assert_eq!(allows(None, 3).await, Err("precondition_required"));
        for (value, expected) in [
            (r#""3""#, true),
            (r#""1", "3""#, true),
            ("*", true),
            (r#""2""#, false),
            // A weak ETag never matches (RFC 9110, 13.1.1).
            (r#"W/"3""#, false),
            ("3", false),
        ] {
            assert_eq!(allows(Some(value), 3).await, Ok(expected), "{value}");
        }
    }
}
