//! Reads the reason for a staff action from a request body `{"reason": "…"}`.

use crate::auth::caller::Caller;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::body::Body;
use crate::extract::line_breaks::normalize_line_breaks;
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::{FromRequest, Request};
use diagflow_store::{Action, MAX_REASON_LENGTH, NewAuditEntry, ObjectKind, SubmissionId};
use serde::Deserialize;
use utoipa::ToSchema;

/// A text of 1 to 500 characters.
#[derive(Debug, Clone)]
pub(crate) struct Reason(pub(crate) String);

/// The reason for an action.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ReasonBody {
    /// Reason, 1 to 500 characters. The reason is stored in the audit log, so do not include medical information.
    #[schema(value_type = String, example = "LoopAI was down at noon", min_length = 1, max_length = 500)]
    reason: Option<String>,
}

impl Reason {
    pub(crate) fn parse(text: Option<String>) -> ApiResult<Self> {
        let text = text.unwrap_or_default();
        let reason = normalize_line_breaks(text.trim()).into_owned();
        match reason.chars().count() {
            1..=MAX_REASON_LENGTH => Ok(Self(reason)),
            _ => Err(ApiError::ReasonRequired),
        }
    }

    pub(crate) fn audit_entry(
        self,
        caller: &Caller,
        action: Action,
        id: SubmissionId,
    ) -> NewAuditEntry {
        caller.audit_entry(action, ObjectKind::Submission, id).with("reason", self.0)
    }
}

impl<S: Send + Sync> FromRequest<S> for Reason {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let Body(body) = Body::<ReasonBody>::from_request(request, state).await?;
        Self::parse(body.reason)
    }
}

impl Documented for Reason {
    fn document(route: &mut RouteDocument<'_>) {
        Body::<ReasonBody>::document(route);
        route.add_errors(&[ErrorCode::ReasonRequired]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_must_be_1_to_500_characters_long() {
        assert_eq!(Reason::parse(Some(" because ".into())).expect("a reason").0, "because");
        assert!(Reason::parse(Some("ß".repeat(MAX_REASON_LENGTH))).is_ok());
        let lines = format!("{}x", "x\r\n".repeat(249));
        assert_eq!(
            Reason::parse(Some(lines)).expect("a reason").0,
            format!("{}x", "x\n".repeat(249))
        );
        for bad in [None, Some(String::new()), Some(" \n".into()), Some("x".repeat(501))] {
            assert!(matches!(Reason::parse(bad.clone()), Err(ApiError::ReasonRequired)), "{bad:?}");
        }
    }
}
