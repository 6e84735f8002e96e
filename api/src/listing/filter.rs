//! A filter, as query parameters ask for it.

use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::{ApiError, ApiResult, ErrorCode};
use crate::extract::query::{FromParameters, Parameters};
use crate::extract::time_format;
use diagflow_store::{
    DeletedFilter, EmailFilter, FullTextQuery, NewAuditEntry, Status, SubmissionFilter,
};
use serde_json::{Map, Value};
use utoipa::IntoParams;
use utoipa::openapi::path::Parameter;

/// Longest address, as in a submission.
const MAX_EMAIL_LENGTH: usize = 254;
/// Longest error code that there can be.
const MAX_CODE_LENGTH: usize = 64;

/// A filter, and how the audit tells it.
#[derive(Clone, Default)]
pub(crate) struct FilterRequest {
    pub(crate) filter: SubmissionFilter,
    /// What was asked for. Words are only counted: what is looked for in comments may be medical.
    pub(crate) audit_details: Map<String, Value>,
}

/// Which submissions. All that is given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `FilterRequest` reads")]
pub(crate) struct FilterQuery {
    /// States, separated by commas: `pending`, `processing`, `completed`, `failed`, `timed_out`,
    /// `cancelled`. Any, if missing.
    #[param(example = "failed,timed_out")]
    status: Option<String>,
    /// Received then or later: a day (UTC), or a time by RFC 3339.
    #[param(example = "2026-11-01")]
    created_from: Option<String>,
    /// Received before this time, or on this day (UTC) or earlier.
    #[param(example = "2026-11-30")]
    created_to: Option<String>,
    /// The patient's address, in upper or lower case; its beginning when it ends with `*`.
    #[param(example = "ana@*")]
    email: Option<String>,
    /// Words in the comments, at most 10: each must begin a word there. Words of less than three letters
    /// cannot be found, and words that nearly every text has (`the`, `with` …) are left out. Needs
    /// `clinical:read`.
    #[param(example = "red eye")]
    comments: Option<String>,
    /// The code with which it failed.
    #[param(example = "timed_out")]
    error_code: Option<String>,
    /// `without` deleted ones (the default), `with` them, or `only` them.
    #[param(example = "without")]
    deleted: Option<String>,
}

impl FromParameters for FilterRequest {
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::CommentSearchForbidden];

    fn parameters() -> Vec<Parameter> {
        FilterQuery::into_params(|| None)
    }

    fn from_parameters(parameters: &mut Parameters) -> Self {
        let mut audit_details = Map::new();
        let mut read_and_note =
            |parameters: &mut Parameters, name: &'static str, code, read: Read<'_>| {
                let mut text = String::new();
                parameters.read(name, code, |given| {
                    given.clone_into(&mut text);
                    read(given)
                });
                if !text.is_empty() {
                    audit_details.insert(name.to_owned(), text.into());
                }
            };
        let mut filter = SubmissionFilter::default();
        read_and_note(parameters, "status", "status_invalid", &mut |text| {
            statuses(text).map(|read| filter.statuses = read)
        });
        read_and_note(parameters, "created_from", "time_invalid", &mut |text| {
            time_format::range_start(text).map(|read| filter.created_from = Some(read))
        });
        read_and_note(parameters, "created_to", "time_invalid", &mut |text| {
            time_format::range_end(text).map(|read| filter.created_to = Some(read))
        });
        read_and_note(parameters, "email", "email_invalid", &mut |text| {
            email(text).map(|read| filter.email = Some(read))
        });
        read_and_note(parameters, "error_code", "error_code_invalid", &mut |text| {
            code(text).map(|read| filter.error_code = Some(read))
        });
        read_and_note(parameters, "deleted", "deleted_invalid", &mut |text| {
            deleted(text).map(|read| filter.deleted = read)
        });
        filter.full_text = parameters.read("comments", "comments_invalid", |text| {
            text.parse::<FullTextQuery>().map_err(|error| error.to_string())
        });
        if let Some(terms) = &filter.full_text {
            audit_details.insert("comment_terms".to_owned(), terms.count().into());
        }
        Self { filter, audit_details }
    }
}

/// Refuses a filter by words in the comments to who may not read comments, and writes that down as the end
/// of `line`: exact totals of beginnings of words would spell the comments out, letter by letter.
///
/// # Errors
/// [`ApiError::CommentSearchForbidden`]; and when the database does not take the line.
pub(crate) async fn check_comment_search(
    state: &AppState,
    caller: &Caller,
    filter: &SubmissionFilter,
    line: &NewAuditEntry,
) -> ApiResult<()> {
    if filter.full_text.is_none() || caller.has_permission(Permission::ClinicalRead) {
        return Ok(());
    }
    Err(refuse(state, line.clone(), ApiError::CommentSearchForbidden).await)
}

type Read<'a> = &'a mut dyn FnMut(&str) -> Result<(), String>;

fn statuses(text: &str) -> Result<Vec<Status>, String> {
    let mut read = Vec::new();
    for word in text.split(',') {
        let status: Status = word.trim().parse().map_err(|_| {
            let names =
                Status::ALL.iter().map(|status| status.name()).collect::<Vec<_>>().join(", ");
            format!("A status is one of {names}")
        })?;
        if !read.contains(&status) {
            read.push(status);
        }
    }
    Ok(read)
}

fn email(text: &str) -> Result<EmailFilter, String> {
    let (prefix, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
    if prefix.is_empty() || prefix.len() > MAX_EMAIL_LENGTH || prefix.contains('*') {
        return Err("Write an address, or its beginning and *".to_owned());
    }
    let prefix = prefix.to_owned();
    Ok(if is_prefix { EmailFilter::Prefix(prefix) } else { EmailFilter::Exact(prefix) })
}

fn code(text: &str) -> Result<String, String> {
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text.is_empty() || text.len() > MAX_CODE_LENGTH || !text.bytes().all(is_code) {
        return Err("An error code is made of letters, digits and _".to_owned());
    }
    Ok(text.to_owned())
}

fn deleted(text: &str) -> Result<DeletedFilter, String> {
    match text {
        "without" => Ok(DeletedFilter::Exclude),
        "with" => Ok(DeletedFilter::Include),
        "only" => Ok(DeletedFilter::Only),
        _ => Err("Deleted is one of without, with, only".to_owned()),
    }
}
