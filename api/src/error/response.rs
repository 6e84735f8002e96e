//! Error responses, and how they are logged.

use crate::error::field_errors::FieldError;
use crate::error::{ApiError, Cause, ErrorCode};
use crate::request_id;
use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
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
    /// Messages of all field errors. Only with `invalid_submission`, `invalid_input` and `invalid_query`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["Email is required", "Image 3: Exceeds 10MB limit"]))]
    errors: Vec<String>,
    /// Machine-readable description of the error.
    error: ErrorDetail,
    /// Id of the request in our logs; also in the header `X-Request-Id`.
    #[schema(example = "5f0c0f4e-6f0e-4f7b-9d53-0f1f6f3c2a11")]
    request_id: String,
}

/// Machine-readable description of an error.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorDetail {
    /// Stable error code.
    #[schema(example = "invalid_submission")]
    code: &'static str,
    /// Copy of the top-level `message`.
    message: String,
    /// All field errors. Empty except with `invalid_submission`, `invalid_input` and `invalid_query`.
    details: Vec<FieldError>,
    /// Number of submissions that the filter matches now. Only with `match_count_changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<i64>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = ErrorCode::from(&self);
        let (status, code) = (code.status(), code.as_str());
        match &self {
            Self::Internal(cause) | Self::Unavailable(cause) | Self::TemporalUnavailable(cause) => {
                let Cause { text, location } = cause;
                tracing::error!(code, cause = text, %location, "request failed");
            }
            Self::Busy | Self::OutcomeUnknown | Self::Timeout => {
                tracing::warn!(code, "request failed");
            }
            _ => tracing::debug!(code, "request rejected"),
        }
        let message = self.to_string();
        let retry_after = self.retry_after();
        let challenge =
            status == StatusCode::UNAUTHORIZED && !matches!(self, Self::InvalidSignature);
        let closes_connection = matches!(self, Self::UploadTimeout);
        let matched = match &self {
            Self::MatchCountChanged { matched } => Some(*matched),
            _ => None,
        };
        let limit = match &self {
            Self::TooManyRequests(exceeded) => Some(exceeded.headers.clone()),
            _ => None,
        };
        let details = self.into_field_errors();
        let body = ErrorBody {
            success: false,
            message: message.clone(),
            errors: details.iter().map(|error| error.message.clone()).collect(),
            error: ErrorDetail { code, message, details, matched },
            request_id: request_id::current().to_string(),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers.extend(limit.into_iter().flatten());
        if closes_connection {
            // Otherwise the rest of the body would be read as the next request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl ApiError {
    fn into_field_errors(self) -> Vec<FieldError> {
        match self {
            Self::InvalidSubmission(errors)
            | Self::InvalidInput(errors)
            | Self::InvalidQuery(errors) => errors,
            _ => Vec::new(),
        }
    }
}
