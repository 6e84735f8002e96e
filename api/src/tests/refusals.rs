//! Tests that every error response includes `errors`, because the existing front end shows only these messages.

use super::documentation::operations;
use super::{TestApi, TestResponse};
use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ErrorCode, RateLimitExceeded};
use crate::header_names::{RATE_LIMIT, RATE_LIMIT_POLICY};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request};
use axum::response::IntoResponse;
use diagflow_store::SubmissionId;
use strum::IntoEnumIterator;

impl Default for RateLimitExceeded {
    fn default() -> Self {
        let value = HeaderValue::from_static("\"submit\"");
        Self { seconds: 1, headers: [(RATE_LIMIT_POLICY, value.clone()), (RATE_LIMIT, value)] }
    }
}

#[tokio::test]
async fn every_error_response_contains_messages_for_the_front_end() {
    for error in ApiError::iter() {
        let code = ErrorCode::from(&error);
        let (parts, body) = error.into_response().into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        let body: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!((parts.status, &body["error"]["code"]), (code.status(), &code.as_str().into()));
        let errors = body["errors"].as_array().expect("a list");
        let is_message = |error: &serde_json::Value| error.as_str().is_some_and(|it| it.len() > 5);
        assert!(!errors.is_empty() && errors.iter().all(is_message), "{body}");
    }
}

/// Sends a request without credentials and without a body.
async fn bare_request(api: &TestApi, method: &str, path: &str) -> TestResponse {
    let path = path.replace("{id}", &SubmissionId::new().to_string());
    let request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
    api.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn every_route_refuses_requests_with_messages_for_the_front_end() {
    let api = TestApi::new().await;
    let document = api.get("/openapi.json").await.json();
    let mut refused = 0;
    for (path, method, _) in operations(&document) {
        let response = bare_request(&api, &method, &path).await;
        if path.starts_with("/api/") {
            let (status, code) = response.refusal();
            assert!(status >= 400, "{method} {path}: {code}");
            refused += 1;
        }
    }
    assert!(refused > 30, "{refused}");
}

#[tokio::test]
async fn a_response_contains_at_most_twenty_field_errors() {
    let error = |number: usize| FieldError {
        field: format!("field{number}"),
        code: FieldErrorCode::FieldUnknown,
        message: format!("Unknown field field{number}"),
    };
    for (count, details, messages) in [(20, 20, 20), (21, 20, 21), (1000, 20, 21)] {
        let response = ApiError::InvalidQuery((0..count).map(error).collect()).into_response();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        let body: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let length = |list: &serde_json::Value| list.as_array().map(Vec::len);
        assert_eq!(length(&body["error"]["details"]), Some(details), "{count}");
        assert_eq!(length(&body["errors"]), Some(messages), "{count}");
    }
}
