//! `GET /api/v1/audit`: who did what.

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::error::ApiResult;
use crate::error::answer::ErrorBody;
use crate::extract::query::{Asked, FromParameters, Parameters};
use crate::extract::times;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use diagflow_store::{Action, AuditFilter, AuditLine, ObjectKind};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::str::FromStr;
use utoipa::{IntoParams, ToSchema};

/// Lines of an answer, where nothing else is asked for, and at most.
const USUAL: i64 = 50;
const MOST: i64 = 500;
/// Longest text that a line can have in any of its columns that are searched.
const LONGEST: usize = 254;

/// What lines to find; what is not given does not matter.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `AskedLines` reads")]
pub(crate) struct AuditQuery {
    /// The account that did it.
    #[param(format = "uuid")]
    actor_id: Option<String>,
    /// The e-mail address of who did it, or who it claimed to be.
    actor: Option<String>,
    /// What was done, such as `submission_retry`.
    action: Option<String>,
    /// What kind of thing it was done to, such as `submission`.
    object_kind: Option<String>,
    /// The thing that it was done to.
    object_id: Option<String>,
    /// `done`, `unchanged`, `under_way`, or the code of a refusal or failure.
    result: Option<String>,
    /// The request that did it.
    request_id: Option<String>,
    /// Not before this day or time.
    #[param(example = "2026-11-30")]
    from: Option<String>,
    /// Until the end of this day, or before this time.
    #[param(example = "2026-11-30T12:00:00Z")]
    to: Option<String>,
    /// Lines before the one of this number: the `next_before` of the last answer.
    before: Option<i64>,
    /// How many lines, at most 500. Default: 50.
    limit: Option<i64>,
}

/// What is asked for.
pub(crate) struct AskedLines {
    filter: AuditFilter,
    limit: i64,
    /// The parameters as they were given, for the audit of this very question.
    told: Map<String, Value>,
}

impl FromParameters for AskedLines {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let mut told = Map::new();
        let mut given = Reading { parameters, told: &mut told };
        let filter = AuditFilter {
            actor_id: given.parsed("actor_id"),
            actor: given.text("actor", char::is_control).map(|text| text.to_lowercase()),
            action: given.parsed("action"),
            object_kind: given.parsed("object_kind"),
            object_id: given.text("object_id", is_no_word),
            result: given.text("result", is_no_word),
            request_id: given.text("request_id", is_no_word),
            from: given.with("from", times::beginning),
            to: given.with("to", times::end),
            before: given.with("before", |text| within(text, 1..=i64::MAX)),
        };
        let limit = given.with("limit", |text| within(text, 1..=MOST)).unwrap_or(USUAL);
        Self { filter, limit, told }
    }
}

/// Reads parameters, and remembers what was given.
struct Reading<'a> {
    parameters: &'a mut Parameters,
    told: &'a mut Map<String, Value>,
}

impl Reading<'_> {
    fn with<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let told = &mut *self.told;
        self.parameters.read(name, "parameter_invalid", |text| {
            told.insert(name.to_owned(), text.into());
            parse(text)
        })
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        self.with(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// A text without characters that no line has there. The database would not compare them.
    fn text(&mut self, name: &'static str, is_wrong: impl Fn(char) -> bool) -> Option<String> {
        self.with(name, |text| {
            if text.len() > LONGEST || text.contains(is_wrong) {
                return Err("No line of the audit has such a text there".to_owned());
            }
            Ok(text.to_owned())
        })
    }
}

fn is_no_word(character: char) -> bool {
    !character.is_ascii_graphic()
}

fn within(text: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("Write a number from {} to {}", range.start(), range.end()))
}

/// Lines of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditBody {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The newest ones that fit, newest first.
    data: Vec<LineBody>,
    /// What to give as `before` for those that come next; none when there are no more.
    next_before: Option<i64>,
}

/// A line of the audit.
#[derive(Debug, Serialize, ToSchema)]
struct LineBody {
    /// Its place, from 1, without gaps.
    number: i64,
    /// When (UTC).
    #[schema(format = "date-time")]
    at: String,
    /// `user`, `service`, `operator` (at a command line) or `anonymous`.
    #[schema(example = "user")]
    actor_kind: String,
    /// The account.
    #[schema(format = "uuid")]
    actor_id: Option<String>,
    /// Its e-mail address, or the one that was claimed.
    actor: String,
    /// What was done.
    #[schema(example = "submission_retry")]
    action: String,
    /// What kind of thing it was done to.
    #[schema(example = "submission")]
    object_kind: String,
    /// Which; empty where there is none in particular.
    object_id: String,
    /// `done`; `unchanged` or `under_way` where it was so already; of an export, `begun` and then `done` or
    /// `broken_off`; or the code of the refusal or failure.
    #[schema(example = "done")]
    result: String,
    /// From where.
    address: String,
    /// The request, as in the log and in its answer.
    request_id: String,
    /// More, such as the reason that was given.
    #[schema(value_type = Object)]
    details: Value,
    /// Seals this line together with the one before.
    hash: String,
}

impl From<AuditLine> for LineBody {
    fn from(line: AuditLine) -> Self {
        Self {
            number: line.number,
            at: times::told(line.at),
            actor_kind: line.actor_kind,
            actor_id: line.actor_id,
            actor: line.actor_name,
            action: line.action,
            object_kind: line.object_kind,
            object_id: line.object_id,
            result: line.result,
            address: line.address,
            request_id: line.request_id,
            // One that was tampered with is shown as it is.
            details: serde_json::from_str(&line.details).unwrap_or(Value::String(line.details)),
            hash: line.hash,
        }
    }
}

/// Finds lines of the audit. Asking for them is written down as well.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "audit",
    operation_id = "find_audit",
    params(AuditQuery),
    responses(
        (status = 200, description = "The newest lines that fit.", body = AuditBody),
        (status = 400, description = "`invalid_query`: lists every fault", body = ErrorBody),
    ),
)]
pub(crate) async fn audit(
    State(state): State<AppState>,
    caller: Caller,
    Asked(asked): Asked<AskedLines>,
) -> ApiResult<([(HeaderName, &'static str); 1], Json<AuditBody>)> {
    let store = &state.app.store;
    let lines = store.find_audit(&asked.filter, asked.limit).await?;
    let line = caller.did(Action::AuditView, ObjectKind::Service, "").with("filter", asked.told);
    store.audit(&line).await?;
    let is_whole = lines.len() as i64 >= asked.limit;
    let next_before = lines.last().filter(|_| is_whole).map(|line| line.number);
    let data = lines.into_iter().map(LineBody::from).collect();
    Ok(([(CACHE_CONTROL, "no-store")], Json(AuditBody { success: true, data, next_before })))
}
