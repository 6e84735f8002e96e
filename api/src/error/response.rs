//! Error responses, and how they are logged.

use crate::error::field_errors::{FieldError, MAX_FIELD_ERRORS};
use crate::error::{ApiError, Cause, ErrorCode};
use crate::openapi::names::ApiErrorCode;
use crate::request_id;
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

/// Body of every error response.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// Always `false`.
    #[schema(example = false)]
    success: bool,
    /// Human-readable description of the error.
    #[schema(
        example = "Your submission could not be accepted. Please correct the problems listed below."
    )]
    message: String,
    /// Messages of the field errors, or the top-level `message` if there are no field errors. Never empty.
    #[schema(example = json!(["Email is required", "Image 3: Exceeds 10MB limit"]))]
    errors: Vec<String>,
    /// Machine-readable description of the error.
    error: ErrorDetail,
    /// Id of the request in our logs. Also returned in the `X-Request-Id` header.
    #[schema(example = "5f0c0f4e-6f0e-4f7b-9d53-0f1f6f3c2a11")]
    request_id: String,
}

/// Machine-readable description of an error.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorDetail {
    /// Stable error code.
    code: ApiErrorCode,
    /// Copy of the top-level `message`.
    message: String,
    /// Field errors, at most 20. Empty unless the code is `invalid_submission`, `invalid_input` or `invalid_query`.
    details: Vec<FieldError>,
    /// Number of submissions that the filter now matches. Present only if the code is `match_count_changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<i64>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = ErrorCode::from(&self);
        self.log(code);
        let headers = self.headers(code.status());
        // Layers can show the error as a page.
        (code.status(), headers, Extension(code), Json(self.into_body(code))).into_response()
    }
}

impl ApiError {
    /// Returns a complete HTTP/1.1 response that closes the connection, for a client whose request is not read.
    pub(crate) fn into_raw_response(self) -> Vec<u8> {
        let code = ErrorCode::from(&self);
        self.log(code);
        let status = code.status();
        let retry_after = self.retry_after().map(|seconds| format!("Retry-After: {seconds}\r\n"));
        let retry_after = retry_after.unwrap_or_default();
        let body = self.into_body(code);
        let id = body.request_id.clone();
        let body = serde_json::to_string(&body).expect("the body is valid JSON");
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{retry_after}\
             X-Request-Id: {id}\r\nConnection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }

    fn log(&self, code: ErrorCode) {
        let code = code.as_str();
        match self {
            Self::Internal(cause) | Self::Unavailable(cause) | Self::TemporalUnavailable(cause) => {
                let Cause { text, location } = cause;
                tracing::error!(code, cause = text, %location, "request failed");
            }
            Self::Busy | Self::OutcomeUnknown | Self::Timeout => {
                tracing::warn!(code, "request failed");
            }
            _ => tracing::debug!(code, "request rejected"),
        }
    }

    fn headers(&self, status: StatusCode) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self {
            Self::TooManyRequests(exceeded) => headers.extend(exceeded.headers.clone()),
            // The client may still be sending the body, and the handler may still be reading it.
            Self::UploadTimeout | Self::Timeout => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // RFC 9110, section 12.5.3, recommends this header in a 415 response.
            Self::UnsupportedContentEncoding { .. } => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            }
            _ => {}
        }
        if status == StatusCode::UNAUTHORIZED && !matches!(self, Self::InvalidSignature) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers
    }

    fn into_body(self, code: ErrorCode) -> ErrorBody {
        let message = self.to_string();
        let matched = match &self {
            Self::MatchCountChanged { matched } => Some(*matched),
            _ => None,
        };
        let mut details = self.into_field_errors();
        let has_more = details.len() > MAX_FIELD_ERRORS;
        details.truncate(MAX_FIELD_ERRORS);
        // The existing front end shows only the messages in `errors`.
        let mut errors: Vec<_> = match details.as_slice() {
            [] => vec![message.clone()],
            errors => errors.iter().map(|error| error.message.clone()).collect(),
        };
        if has_more {
            errors.push("There are more errors. Correct these first.".to_owned());
        }
        ErrorBody {
            success: false,
            message: message.clone(),
            errors,
            error: ErrorDetail { code: code.into(), message, details, matched },
            request_id: request_id::current().to_string(),
        }
    }

    fn into_field_errors(self) -> Vec<FieldError> {
        match self {
            Self::InvalidSubmission(errors) => errors.into_iter().map(|it| it.error).collect(),
            Self::InvalidInput(errors) | Self::InvalidQuery(errors) => errors,
            _ => Vec::new(),
        }
    }
}
