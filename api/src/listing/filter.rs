//! Parses the parameters that filter submissions, and checks the permission to search in comments.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::field_errors::FieldErrorCode;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::query::{FromParameters, Parameters, RecordedParameters};
use crate::extract::time_format::{range_end, range_start};
use crate::openapi::names::{SubmissionErrorCode, SubmissionStatus};
use diagflow_store::{
    DeletedFilter, EmailAddress, EmailFilter, FullTextQuery, MAX_EMAIL_LENGTH, NewAuditEntry,
    Status, SubmissionFilter,
};
use serde_json::{Map, Value};
use utoipa::IntoParams;
use utoipa::openapi::path::Parameter;

const MAX_CODE_LENGTH: usize = 64;

#[derive(Clone, Default)]
pub(crate) struct FilterRequest {
    pub(crate) filter: SubmissionFilter,
    /// The parameters for the audit log. Comment search terms are replaced by their number, because they may be
    /// medical.
    pub(crate) audit_details: Map<String, Value>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters of `FilterRequest`")]
pub(crate) struct FilterQuery {
    /// Statuses, separated by commas or as repeated parameters. Default: all.
    #[param(style = Form, explode = false, example = json!(["failed", "timed_out"]))]
    status: Option<Vec<SubmissionStatus>>,
    /// Earliest time of receipt: a day in UTC, or an RFC 3339 time.
    #[param(example = "2026-11-01")]
    created_from: Option<String>,
    /// Latest time of receipt: a day in UTC (inclusive), or an RFC 3339 time (exclusive).
    #[param(example = "2026-11-30")]
    created_to: Option<String>,
    /// E-mail address of the patient, or a prefix of it followed by `*`. Case is ignored.
    #[param(example = "ana@*")]
    email: Option<String>,
    /// Search terms, at most 10. Each term must match the beginning of a word in the comments and have at least three
    /// letters. Common words (`the`, `with`) are ignored. Requires `clinical:read`.
    #[param(example = "red eye")]
    comments: Option<String>,
    /// Error code of the submission.
    error_code: Option<SubmissionErrorCode>,
    /// Id of the account that takes care of the submission.
    #[param(format = "uuid")]
    assignee: Option<String>,
    /// Handling of deleted submissions: `without` (default) excludes them, `with` includes them, `only` selects them.
    #[param(example = "without")]
    deleted: Option<String>,
}

impl FromParameters for FilterRequest {
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::CommentSearchForbidden];

    fn parameters() -> Vec<Parameter> {
        FilterQuery::into_params(|| None)
    }

    fn from_parameters(parameters: &mut Parameters) -> Self {
        let full_text = parameters.read("comments", FieldErrorCode::CommentsInvalid, |text| {
            text.parse::<FullTextQuery>().map_err(|error| error.to_string())
        });
        parameters.join("status");
        let mut given = RecordedParameters::new(parameters);
        let filter = SubmissionFilter {
            statuses: given
                .read("status", FieldErrorCode::StatusInvalid, statuses)
                .unwrap_or_default(),
            created_from: given.read("created_from", FieldErrorCode::TimeInvalid, range_start),
            created_to: given.read("created_to", FieldErrorCode::TimeInvalid, range_end),
            email: given.read("email", FieldErrorCode::EmailInvalid, email),
            error_code: given.read("error_code", FieldErrorCode::ErrorCodeInvalid, code),
            assignee: given.read("assignee", FieldErrorCode::AssigneeInvalid, |text| {
                text.parse().map_err(|_| "assignee must be the id of an account".to_owned())
            }),
            deleted: given
                .read("deleted", FieldErrorCode::DeletedInvalid, deleted)
                .unwrap_or_default(),
            full_text,
            ..SubmissionFilter::default()
        };
        let mut audit_details = given.values;
        if let Some(terms) = &filter.full_text {
            audit_details.insert("comment_terms".to_owned(), terms.count().into());
        }
        Self { filter, audit_details }
    }
}

/// Rejects a search in comments by a caller who may not read them: the exact totals for prefixes would reveal the
/// comments letter by letter.
pub(crate) async fn check_comment_search(
    state: &AppState,
    caller: &Caller,
    filter: &SubmissionFilter,
    entry: &NewAuditEntry,
) -> ApiResult<()> {
    if filter.full_text.is_none() || caller.has_permission(Permission::ClinicalRead) {
        return Ok(());
    }
    Err(refuse(state, entry.clone(), ApiError::CommentSearchForbidden).await)
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

fn email(text: &str) -> Result<EmailFilter, String> {
    let (prefix, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
    if prefix.is_empty() || prefix.len() > MAX_EMAIL_LENGTH || prefix.contains('*') {
        return Err("email must be an address, or a prefix of one followed by *".to_owned());
    }
    if is_prefix {
        return Ok(EmailFilter::Prefix(prefix.to_owned()));
    }
    // As addresses are stored.
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

fn deleted(text: &str) -> Result<DeletedFilter, String> {
    match text {
        "without" => Ok(DeletedFilter::Exclude),
        "with" => Ok(DeletedFilter::Include),
        "only" => Ok(DeletedFilter::Only),
        _ => Err("deleted must be one of without, with, only".to_owned()),
    }
}
