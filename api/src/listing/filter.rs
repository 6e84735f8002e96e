//! Parses submission filters, and checks that the caller is permitted to use them.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::field_errors::FieldErrorCode;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::query::{FromParameters, Parameters, RecordedParameters};
use crate::extract::time_format::{range_end, range_start};
use crate::openapi::names::{SubmissionEmailState, SubmissionErrorCode, SubmissionStatus};
use diagflow_store::{
    DeletedFilter, EmailAddress, EmailFilter, EmailState, FullTextQuery, MAX_EMAIL_LENGTH,
    NewAuditEntry, Status, SubmissionFilter,
};
use serde_json::{Map, Value};
use utoipa::IntoParams;
use utoipa::openapi::path::Parameter;

const MAX_CODE_LENGTH: usize = 64;

#[derive(Clone, Default)]
pub(crate) struct FilterRequest {
    pub(crate) filter: SubmissionFilter,
    /// Filter parameters for the audit log. Addresses are masked. Comment search terms may contain medical information,
    /// so only the number of terms is included.
    pub(crate) audit_details: Map<String, Value>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters of `FilterRequest`")]
pub(crate) struct FilterQuery {
    /// Statuses to include, separated by commas or given as repeated parameters. Default: all statuses.
    #[param(style = Form, explode = false, example = json!(["failed", "timed_out"]))]
    status: Option<Vec<SubmissionStatus>>,
    /// Earliest time of receipt, as a UTC date or an RFC 3339 time.
    #[param(example = "2026-11-01")]
    created_from: Option<String>,
    /// Latest time of receipt, as a UTC date (inclusive) or an RFC 3339 time (exclusive).
    #[param(example = "2026-11-30")]
    created_to: Option<String>,
    /// E-mail address of the patient, or the beginning of an address followed by `*`. Not case-sensitive.
    #[param(example = "ana@*")]
    email: Option<String>,
    /// Up to 10 search terms of at least three letters each. Each term must match the beginning of a word in the
    /// comments. Common words such as `the` and `with` are ignored. Requires `clinical:read`.
    #[param(example = "red eye")]
    comments: Option<String>,
    /// Error code of the submission.
    error_code: Option<SubmissionErrorCode>,
    /// States of the latest e-mail to include, separated by commas or given as repeated parameters. `sent` is not
    /// allowed, because it would match almost all submissions. Default: all submissions.
    #[param(style = Form, explode = false, example = json!(["failed", "overdue"]))]
    email_state: Option<Vec<SubmissionEmailState>>,
    /// Id of the account to which the submission is assigned.
    #[param(format = "uuid")]
    assignee: Option<String>,
    /// Whether to return only submissions whose current run is stuck because its workflow task fails on every attempt.
    /// Default: `false`.
    #[param(example = true)]
    stuck: Option<bool>,
    /// Whether to return deleted submissions: `without` (default) excludes them, `with` includes them, and `only`
    /// returns no other submissions. `with` and `only` require `submissions:delete`.
    #[param(example = "without")]
    deleted: Option<String>,
}

impl FromParameters for FilterRequest {
    const ERRORS: &'static [ErrorCode] =
        &[ErrorCode::CommentSearchForbidden, ErrorCode::DeletedForbidden];

    fn parameters() -> Vec<Parameter> {
        FilterQuery::into_params(|| None)
    }

    fn from_parameters(parameters: &mut Parameters) -> Self {
        let full_text = parameters.read("comments", FieldErrorCode::CommentsInvalid, |text| {
            text.parse::<FullTextQuery>().map_err(|error| error.to_string())
        });
        parameters.join("status");
        parameters.join("email_state");
        let mut given = RecordedParameters::new(parameters);
        let filter = SubmissionFilter {
            statuses: given
                .read("status", FieldErrorCode::StatusInvalid, statuses)
                .unwrap_or_default(),
            created_from: given.read("created_from", FieldErrorCode::TimeInvalid, range_start),
            created_to: given.read("created_to", FieldErrorCode::TimeInvalid, range_end),
            email: given.read("email", FieldErrorCode::EmailInvalid, email),
            error_code: given.read("error_code", FieldErrorCode::ErrorCodeInvalid, code),
            email_states: given
                .read("email_state", FieldErrorCode::EmailStateInvalid, email_states)
                .unwrap_or_default(),
            assignee: given.read("assignee", FieldErrorCode::AssigneeInvalid, |text| {
                text.parse().map_err(|_| "assignee must be the id of an account".to_owned())
            }),
            stuck: given.read("stuck", FieldErrorCode::FlagInvalid, flag).unwrap_or_default(),
            deleted: given
                .read("deleted", FieldErrorCode::DeletedInvalid, deleted)
                .unwrap_or_default(),
            full_text,
            ..SubmissionFilter::default()
        };
        let mut audit_details = given.values;
        if let Some(email) = audit_details.get_mut("email") {
            *email = email.as_str().map(masked).into();
        }
        if let Some(terms) = &filter.full_text {
            audit_details.insert("comment_terms".to_owned(), terms.count().into());
        }
        Self { filter, audit_details }
    }
}

/// Masks an address except for its first character and domain. Audit entries are never erased, so they must not contain
/// patients' addresses.
pub(crate) fn masked(address: &str) -> String {
    let first: String = address.chars().take(1).collect();
    match address.rsplit_once('@') {
        Some((_, domain)) => format!("{first}…@{domain}"),
        None => format!("{first}…"),
    }
}

/// Rejects filters on data that the caller may not read: deleted submissions and comments. By searching comments, a
/// caller could reconstruct them letter by letter from the number of matches for each prefix.
pub(crate) async fn check_filter(
    state: &AppState,
    caller: &Caller,
    filter: &SubmissionFilter,
    entry: &NewAuditEntry,
) -> ApiResult<()> {
    let is_missing = |permission| !caller.has_permission(permission);
    let error = if filter.full_text.is_some() && is_missing(Permission::ClinicalRead) {
        ApiError::CommentSearchForbidden
    } else if filter.deleted != DeletedFilter::Exclude && is_missing(Permission::SubmissionsDelete)
    {
        ApiError::DeletedForbidden
    } else {
        return Ok(());
    };
    Err(refuse(state, entry.clone(), error).await)
}

fn statuses(text: &str) -> Result<Vec<Status>, String> {
    let mut statuses = Vec::new();
    for name in text.split(',') {
        let status: Status = name.trim().parse().map_err(|_| {
            let names =
                Status::ALL.iter().map(|status| status.name()).collect::<Vec<_>>().join(", ");
            format!("status must be one of {names}")
        })?;
        if !statuses.contains(&status) {
            statuses.push(status);
        }
    }
    Ok(statuses)
}

fn email_states(text: &str) -> Result<Vec<EmailState>, String> {
    let mut states = Vec::new();
    for name in text.split(',') {
        let state = name.trim().parse().ok().filter(|it| EmailState::SEARCHABLE.contains(it));
        let state = state.ok_or_else(|| {
            let names = EmailState::SEARCHABLE.map(|state| state.to_string()).join(", ");
            format!("email_state must be one of {names}")
        })?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    Ok(states)
}

fn email(text: &str) -> Result<EmailFilter, String> {
    let (prefix, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
    if prefix.is_empty() || prefix.len() > MAX_EMAIL_LENGTH || prefix.contains('*') {
        return Err(
            "email must be an address, or the beginning of an address followed by *".to_owned()
        );
    }
    if is_prefix {
        return Ok(EmailFilter::Prefix(prefix.to_owned()));
    }
    // Stored addresses are normalized, so the filter must be normalized as well.
    let email = text.parse::<EmailAddress>();
    Ok(EmailFilter::Exact(email.map_or_else(|_| text.to_owned(), |email| email.to_string())))
}

fn code(text: &str) -> Result<String, String> {
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text.is_empty() || text.len() > MAX_CODE_LENGTH || !text.bytes().all(is_code) {
        return Err("error_code must consist of letters, digits, _, . and -".to_owned());
    }
    Ok(text.to_owned())
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "stuck must be true or false".to_owned())
}

fn deleted(text: &str) -> Result<DeletedFilter, String> {
    match text {
        "without" => Ok(DeletedFilter::Exclude),
        "with" => Ok(DeletedFilter::Include),
        "only" => Ok(DeletedFilter::Only),
        _ => Err("deleted must be without, with or only".to_owned()),
    }
}
