//! Reads a JSON body of at most 64 KiB. Errors name the fields and never repeat their values, which may be
//! passwords.

use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::content_encoding::decompressed;
use crate::extract::json_text::lenient;
use crate::layers::time_limit::body_error;
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::{DefaultBodyLimit, FromRequest, OptionalFromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// More than any form needs.
const MAX_BYTES: usize = 64 * 1024;

pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        if media_type(request.headers()) != "application/json" {
            return Err(ApiError::UnsupportedMediaType { accepted: "application/json" });
        }
        let bytes = read(request, MAX_BYTES).await?;
        let value: Value = serde_json::from_slice(&lenient(bytes))
            .map_err(|error| ApiError::invalid_json(&error))?;
        let Value::Object(object) = value else {
            return Err(ApiError::InvalidJson { line: 1, column: 1 });
        };
        deserialize(object).map(Self).map_err(ApiError::InvalidInput)
    }
}

/// The media type of a body, in lower case and without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let name = value.unwrap_or_default().split(';').next().unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

/// `None` without a `Content-Type`.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Option<Self>> {
        if !request.headers().contains_key(CONTENT_TYPE) {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

/// Deserializes the object, or returns the errors of all invalid fields. Serde stops at the first error, so each
/// invalid field is recorded and removed, and the rest is deserialized again.
fn deserialize<T: DeserializeOwned>(mut object: Map<String, Value>) -> Result<T, Vec<FieldError>> {
    let mut errors: Vec<FieldError> = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(Value::Object(object.clone())) {
            Ok(value) if errors.is_empty() => return Ok(value),
            Ok(_) => return Err(errors),
            Err(error) => error,
        };
        let error = field_error(&error.path().to_string(), &error.inner().to_string());
        let top = error.field.split(['.', '[']).next().unwrap_or_default().to_owned();
        // A field can also be missing because it was invalid and has been removed.
        let noted = errors.iter().any(|known| known.field == error.field);
        if !noted {
            errors.push(error);
        }
        if object.remove(&top).is_none() {
            return Err(errors);
        }
    }
}

/// Serde's message quotes the value, so only the part after `expected` is used.
fn field_error(path: &str, error: &str) -> FieldError {
    let path = if path == "." { "" } else { path };
    if let Some(name) = quoted(error, "missing field `") {
        let field = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let message = format!("{field} is missing");
        return FieldError { field, code: FieldErrorCode::FieldMissing, message };
    }
    if error.starts_with("unknown field `") {
        let message = format!("Unknown field {path}");
        return FieldError { field: path.to_owned(), code: FieldErrorCode::FieldUnknown, message };
    }
    let expected = error.rsplit_once("expected ").map_or("of another type", |(_, rest)| rest);
    let field = path.to_owned();
    let message = format!("{field} must be {expected}");
    FieldError { field, code: FieldErrorCode::FieldInvalid, message }
}

fn quoted<'a>(error: &'a str, before: &str) -> Option<&'a str> {
    error.strip_prefix(before)?.split('`').next()
}

/// `limit` applies to the body before and after its decompression.
pub(crate) async fn read(request: Request, limit: usize) -> ApiResult<Bytes> {
    let mut request = decompressed(request, limit)?;
    DefaultBodyLimit::max(limit).apply(&mut request);
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::body_too_large(limit),
        _ => body_error(&rejection),
    })
}

pub(crate) const READ_ERRORS: [ErrorCode; 5] = [
    ErrorCode::UploadIncomplete,
    ErrorCode::UploadTimeout,
    ErrorCode::BodyTooLarge,
    ErrorCode::InvalidGzip,
    ErrorCode::UnsupportedContentEncoding,
];

impl<T: ToSchema> Documented for Body<T> {
    fn document(route: &mut RouteDocument<'_>) {
        route.add_json_body::<T>();
        route.add_errors(&READ_ERRORS);
        route.add_errors(&[
            ErrorCode::InvalidJson,
            ErrorCode::InvalidInput,
            ErrorCode::UnsupportedMediaType,
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only deserialized")]
    struct Example {
        name: String,
        count: u8,
        #[serde(default)]
        flag: Option<bool>,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only deserialized")]
    struct Inner {
        size: u8,
    }

    fn errors(body: Value) -> Vec<(String, FieldErrorCode)> {
        let Value::Object(object) = body else { panic!("an object") };
        let Err(errors) = deserialize::<Example>(object) else { return Vec::new() };
        errors.into_iter().map(|error| (error.field, error.code)).collect()
    }

    #[test]
    fn every_invalid_field_is_reported_without_its_value() {
        assert_eq!(errors(json!({"name": "x", "count": 1, "more": 2})), []);
        let missing = |name: &str| (name.to_owned(), FieldErrorCode::FieldMissing);
        let invalid = |name: &str| (name.to_owned(), FieldErrorCode::FieldInvalid);
        assert_eq!(errors(json!({"count": 1})), [missing("name")]);
        assert_eq!(errors(json!({"name": 1, "count": 1})), [invalid("name")]);
        let inner = json!({"name": "x", "count": 1, "inner": {}});
        assert_eq!(errors(inner), [missing("inner.size")]);
        let both =
            json!({"name": "x", "count": 1, "flag": "hunter2", "inner": {"size": "hunter2"}});
        assert_eq!(errors(both), [invalid("flag"), invalid("inner.size")]);
        let field_error =
            field_error("flag", "invalid type: string \"hunter2\", expected a boolean");
        assert_eq!(field_error.message, "flag must be a boolean");
    }
}
