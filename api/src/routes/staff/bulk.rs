//! Requests for a bulk action on all submissions that match a filter. A dry run first counts the matching submissions,
//! and the action is carried out only if the count has not changed since.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::error::field_errors::{FieldError, FieldErrorCode};
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::body::Body;
use crate::extract::query::{FromParameters, Parameters};
use crate::extract::reason::Reason;
use crate::listing::filter::FilterRequest;
use crate::openapi::names::{SubmissionEmailState, SubmissionErrorCode, SubmissionStatus};
use crate::openapi::route::{Documented, RouteDocument};
use axum::extract::{FromRequest, Request};
use diagflow_store::{DeletedFilter, NewAuditEntry, Status};
use serde::Deserialize;
use utoipa::ToSchema;

/// Maximum number of submissions changed by one request.
pub(super) const MAX_CHANGES: i64 = 1000;

/// Filter and options for a bulk action.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "filter": {"status": ["failed"]},
    "reason": "LoopAI was down at noon",
    "dry_run": true,
}))]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkRequestBody {
    /// Filter that selects the submissions. All conditions must match.
    #[serde(default)]
    filter: BulkFilterBody,
    /// Reason for the audit log, 1 to 500 characters. Do not include medical information.
    #[schema(value_type = String, example = "LoopAI was down at noon", min_length = 1, max_length = 500)]
    reason: Option<String>,
    /// Whether to count the matching submissions without changing them. Default: `false`.
    #[serde(default)]
    dry_run: bool,
    /// Number of matching submissions returned by the dry run. Required unless `dry_run` is `true`.
    expected: Option<i64>,
}

/// A filter with the same parameters as the submission list.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkFilterBody {
    /// Ids of the submissions. Default: all submissions that match the other conditions.
    #[serde(default)]
    ids: Vec<String>,
    /// Statuses of the submissions. Must be final for a retry or a resend, and not final for a cancellation. Default:
    /// all possible statuses, except `completed` for a retry.
    #[serde(default)]
    #[schema(value_type = Vec<SubmissionStatus>)]
    status: Vec<String>,
    /// Earliest time of receipt, as a UTC date or an RFC 3339 time.
    created_from: Option<String>,
    /// Latest time of receipt, as a UTC date (inclusive) or an RFC 3339 time (exclusive).
    created_to: Option<String>,
    /// E-mail address of the patient, or the beginning of an address followed by `*`. Not case-sensitive.
    email: Option<String>,
    /// Up to 10 search terms of at least three letters each. Each term must match the beginning of a word in the
    /// comments. Common words such as `the` and `with` are ignored. Requires `clinical:read`.
    comments: Option<String>,
    /// Error code of the submission.
    #[schema(value_type = Option<SubmissionErrorCode>)]
    error_code: Option<String>,
    /// States of the submission's latest e-mail. Default: `failed` for a resend, otherwise all states. Only
    /// `failed` and `unknown` can be resent. `sent` is not allowed.
    #[serde(default)]
    #[schema(value_type = Vec<SubmissionEmailState>)]
    email_state: Vec<String>,
    /// Id of the account to which the submission is assigned.
    #[schema(format = "uuid")]
    assignee: Option<String>,
    /// Whether to match only submissions whose current run is stuck because its workflow task fails on every attempt. A
    /// run can be stuck after its end has been recorded. Default: `false`.
    stuck: Option<bool>,
    /// Only `without` is allowed, because deleted submissions must be restored first.
    deleted: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    DryRun,
    Confirmed { expected: i64 },
}

/// A [`BulkRequestBody`] with a valid filter and reason.
pub(crate) struct BulkRequest {
    pub(super) filter: FilterRequest,
    pub(super) reason: Reason,
    pub(super) confirmation: Confirmation,
}

impl BulkRequest {
    /// Rejects filters with a status in which the action is not possible.
    pub(super) fn check_statuses(
        &self,
        is_possible: impl Fn(Status) -> bool,
        message: &str,
    ) -> ApiResult<()> {
        if self.filter.filter.statuses.iter().all(|status| is_possible(*status)) {
            return Ok(());
        }
        Err(invalid("filter.status", FieldErrorCode::StatusInvalid, message))
    }
}

/// Whether the caller has confirmed how many submissions match.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confirmation(Mode);

impl Confirmation {
    /// Returns whether to carry out the action. Appends `entry` to the audit log if the request is a dry run or is
    /// refused.
    pub(super) async fn check(
        self,
        state: &AppState,
        entry: &NewAuditEntry,
        matched: i64,
    ) -> ApiResult<bool> {
        match self.0 {
            Mode::DryRun => {
                let entry = entry.clone().with("dry_run", true);
                state.app.store.append_audit_entry(&entry).await?;
                Ok(false)
            }
            Mode::Confirmed { expected } if expected == matched => Ok(true),
            Mode::Confirmed { .. } => {
                Err(refuse(state, entry.clone(), ApiError::MatchCountChanged { matched }).await)
            }
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for BulkRequest {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let Body(body) = Body::<BulkRequestBody>::from_request(request, state).await?;
        let BulkRequestBody { filter, reason, dry_run, expected } = body;
        let (reason, filter) = (Reason::parse(reason)?, filter.parse()?);
        let mode = match expected {
            _ if dry_run => Mode::DryRun,
            Some(expected) => Mode::Confirmed { expected },
            None => {
                let message = "expected is required: send the number returned by the dry run";
                return Err(invalid("expected", FieldErrorCode::ExpectedRequired, message));
            }
        };
        Ok(Self { filter, reason, confirmation: Confirmation(mode) })
    }
}

impl Documented for BulkRequest {
    fn document(route: &mut RouteDocument<'_>) {
        Body::<BulkRequestBody>::document(route);
        route.add_errors(&[ErrorCode::ReasonRequired]);
        route.add_errors(FilterRequest::ERRORS);
    }
}

pub(super) fn invalid(field: &str, code: FieldErrorCode, message: &str) -> ApiError {
    let (field, message) = (field.to_owned(), message.to_owned());
    ApiError::InvalidInput(vec![FieldError { field, code, message }])
}

impl BulkFilterBody {
    fn parse(self) -> ApiResult<FilterRequest> {
        let joined = |values: Vec<String>| (!values.is_empty()).then(|| values.join(","));
        let given = [
            ("status", joined(self.status)),
            ("created_from", self.created_from),
            ("created_to", self.created_to),
            ("email", self.email),
            ("comments", self.comments),
            ("error_code", self.error_code),
            ("email_state", joined(self.email_state)),
            ("assignee", self.assignee),
            ("stuck", self.stuck.map(|stuck| stuck.to_string())),
            ("deleted", self.deleted),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut parameters = Parameters::given(given);
        let mut request = FilterRequest::from_parameters(&mut parameters);
        if request.filter.deleted != DeletedFilter::Exclude {
            let message = "Deleted submissions must be restored first".to_owned();
            parameters.add_error("deleted", FieldErrorCode::DeletedInvalid, message);
        }
        if !self.ids.is_empty() {
            request.audit_details.insert("ids".to_owned(), self.ids.len().into());
        }
        match self.ids.iter().map(|id| id.parse()).collect() {
            Ok(ids) => request.filter.ids = ids,
            Err(_) => {
                let message = "ids must contain only ids of submissions".to_owned();
                parameters.add_error("ids", FieldErrorCode::FieldInvalid, message);
            }
        }
        let errors = parameters.finish().into_iter();
        let errors: Vec<_> = errors
            .map(|error| FieldError { field: format!("filter.{}", error.field), ..error })
            .collect();
        if errors.is_empty() { Ok(request) } else { Err(ApiError::InvalidInput(errors)) }
    }
}
