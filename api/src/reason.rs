//! The reason that staff give for what they do to a submission, as a body `{"reason": "…"}`.

use crate::app::AppState;
use crate::error::ApiError;
use crate::intake::Fault;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde_json::Value;
use utoipa::ToSchema;

/// Longest reason, in characters.
const LONGEST: usize = 500;

/// Why somebody does something; 1 to 500 characters.
#[derive(Debug, Clone)]
pub(crate) struct Reason(pub(crate) String);

/// A body with a reason.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Reason` reads")]
pub(crate) struct ReasonBody {
    /// Goes into the audit; 1 to 500 characters. Nothing medical.
    #[schema(example = "Asked for by the patient, ticket 4711")]
    reason: String,
}

impl FromRequest<AppState> for Reason {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|_| ApiError::UploadIncomplete)?;
        let body: Value = match body.len() {
            0 => Value::Object(serde_json::Map::new()),
            _ => serde_json::from_slice(&body).map_err(|error| ApiError::InvalidJson {
                line: error.line(),
                column: error.column(),
            })?,
        };
        read(&body).map_err(|fault| ApiError::InvalidInput(vec![fault]))
    }
}

fn read(body: &Value) -> Result<Reason, Fault> {
    let fault = |code, message: &str| Fault {
        field: "reason".to_owned(),
        code,
        message: message.to_owned(),
    };
    let reason = match &body["reason"] {
        Value::Null => return Err(fault("reason_required", "A reason is required")),
        Value::String(reason) => reason.trim(),
        _ => return Err(fault("reason_invalid", "The reason must be text")),
    };
    match reason.chars().count() {
        0 => Err(fault("reason_required", "A reason is required")),
        1..=LONGEST => Ok(Reason(reason.to_owned())),
        _ => Err(fault("reason_too_long", "The reason exceeds 500 characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reason_is_some_words() {
        let code = |body: Value| read(&body).map(|reason| reason.0).map_err(|fault| fault.code);
        assert_eq!(code(json!({"reason": " why "})), Ok("why".to_owned()));
        assert_eq!(code(json!({})), Err("reason_required"));
        assert_eq!(code(json!([])), Err("reason_required"));
        assert_eq!(code(json!({"reason": " "})), Err("reason_required"));
        assert_eq!(code(json!({"reason": 1})), Err("reason_invalid"));
        assert_eq!(code(json!({"reason": "x".repeat(501)})), Err("reason_too_long"));
    }
}
