//! Reads a JSON body of at most 64 KiB. Error messages name the invalid fields but never repeat their values, which may
//! be passwords.

use crate::error::field_errors::{FieldError, FieldErrorCode, MAX_FIELD_ERRORS};
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
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Maximum size of a JSON body, which is more than any form needs.
const MAX_BYTES: usize = 64 * 1024;

pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        if media_type(request.headers()) != "application/json" {
            return Err(ApiError::UnsupportedMediaType { accepted: "application/json" });
        }
        let bytes = lenient(read(request, MAX_BYTES).await?);
        let members =
            serde_json::from_slice(&bytes).map_err(|error| ApiError::not_an_object(&error))?;
        let (object, errors) = parse(members);
        deserialize(object, errors).map(Self).map_err(ApiError::InvalidInput)
    }
}

/// Returns the body's media type in lower case, without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let name = value.unwrap_or_default().split(';').next().unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

/// Returns `None` if the request has no `Content-Type`.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Option<Self>> {
        if !request.headers().contains_key(CONTENT_TYPE) {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

/// Parses the members of an object. A member that cannot be parsed is reported as a field error.
fn parse(members: BTreeMap<String, &RawValue>) -> (Map<String, Value>, Vec<FieldError>) {
    let (mut object, mut errors) = (Map::new(), Vec::new());
    for (field, json) in members {
        match serde_json::from_str(json.get()) {
            Ok(value) => drop(object.insert(field, value)),
            Err(_) => {
                let message =
                    format!("{field} contains a number that is too large, or is nested too deeply");
                errors.push(FieldError { field, code: FieldErrorCode::FieldInvalid, message });
            }
        }
    }
    (object, errors)
}

/// Deserializes the object, or returns an error for each invalid field until there are more than [`MAX_FIELD_ERRORS`].
/// Serde stops at the first error, so each invalid field is recorded and removed, and the rest is deserialized again.
fn deserialize<T: DeserializeOwned>(
    mut object: Map<String, Value>,
    mut errors: Vec<FieldError>,
) -> Result<T, Vec<FieldError>> {
    loop {
        let error = match serde_path_to_error::deserialize(Value::Object(object.clone())) {
            Ok(value) if errors.is_empty() => return Ok(value),
            Ok(_) => return Err(errors),
            Err(error) => error,
        };
        let error = field_error(&error.path().to_string(), &error.inner().to_string());
        let top = error.field.split(['.', '[']).next().unwrap_or_default().to_owned();
        // A field may also be missing because it was invalid and has been removed.
        let noted = errors.iter().any(|known| known.field == error.field);
        if !noted {
            errors.push(error);
        }
        if object.remove(&top).is_none() || errors.len() > MAX_FIELD_ERRORS {
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

/// `limit` applies to the body both before and after decompression.
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
        let Err(errors) = deserialize::<Example>(object, Vec::new()) else { return Vec::new() };
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

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Empty {}

    #[test]
    fn the_search_for_errors_stops_soon_after_the_limit() {
        let object = (0..5000).map(|number| (format!("f{number}"), json!(1))).collect();
        let errors = deserialize::<Empty>(object, Vec::new()).expect_err("unknown fields");
        assert_eq!(errors.len(), MAX_FIELD_ERRORS + 1);
    }
}
