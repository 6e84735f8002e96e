//! Reads a small JSON body into a type. Whatever is wrong with it is told in the envelope of all refusals,
//! by the names of the fields; what somebody sent is never repeated, since it may be a password.

use crate::error::field_errors::FieldError;
use crate::error::{ApiError, ApiResult};
use crate::layers::time_limit::body_error;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Most bytes: nothing that a person types is longer.
const MAX_BYTES: usize = 64 * 1024;

/// A JSON object of at most 64 KiB.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        if !is_json(request.headers()) {
            return Err(ApiError::JsonRequired);
        }
        let bytes = read(request.into_body()).await?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::InvalidJson { line: error.line(), column: error.column() }
        })?;
        let Value::Object(object) = value else {
            return Err(ApiError::InvalidJson { line: 1, column: 1 });
        };
        deserialize(object).map(Self).map_err(ApiError::InvalidInput)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let name = value.unwrap_or_default().split(';').next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case("application/json")
}

/// Reads the type, or finds every field that it cannot be read from: each such field is noted, taken away,
/// and the rest tried again.
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
        // Missing because it was wrong and taken away: that was noted.
        let noted = errors.iter().any(|known| known.field == error.field);
        if !noted {
            errors.push(error);
        }
        if object.remove(&top).is_none() {
            return Err(errors);
        }
    }
}

/// Of serde's sentence, only what was expected is told: the rest quotes what was sent.
fn field_error(path: &str, error: &str) -> FieldError {
    let path = if path == "." { "" } else { path };
    if let Some(name) = quoted(error, "missing field `") {
        let field = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let message = format!("{field} is missing");
        return FieldError { field, code: "field_missing", message };
    }
    if error.starts_with("unknown field `") {
        let message = format!("There is no field {path} here");
        return FieldError { field: path.to_owned(), code: "field_unknown", message };
    }
    let expected = error.rsplit_once("expected ").map_or("something else", |(_, rest)| rest);
    let field = path.to_owned();
    let message = format!("{field} must be {expected}");
    FieldError { field, code: "field_invalid", message }
}

fn quoted<'a>(error: &'a str, before: &str) -> Option<&'a str> {
    error.strip_prefix(before)?.split('`').next()
}

async fn read(body: axum::body::Body) -> ApiResult<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| body_error(&error))?;
        if bytes.len() + chunk.len() > MAX_BYTES {
            return Err(ApiError::RequestTooLarge { limit_kib: MAX_BYTES / 1024 });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only reading it is looked at")]
    struct Example {
        name: String,
        count: u8,
        #[serde(default)]
        flag: Option<bool>,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only reading it is looked at")]
    struct Inner {
        size: u8,
    }

    fn errors(body: Value) -> Vec<(String, &'static str)> {
        let Value::Object(object) = body else { panic!("an object") };
        let Err(errors) = deserialize::<Example>(object) else { return Vec::new() };
        errors.into_iter().map(|error| (error.field, error.code)).collect()
    }

    #[test]
    fn every_invalid_field_is_reported_without_its_value() {
        assert_eq!(errors(json!({"name": "x", "count": 1, "more": 2})), []);
        let missing = |name: &str| (name.to_owned(), "field_missing");
        let invalid = |name: &str| (name.to_owned(), "field_invalid");
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
