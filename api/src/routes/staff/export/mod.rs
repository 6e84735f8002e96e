//! `GET /api/admin/submissions/export`: everything that a filter matches, as a file.
//!
//! Read and sent in parts, so an export of a million submissions takes no more memory than one of a
//! thousand, and one of large results no more than one of small ones. An error on the way breaks the
//! connection, and so does it when the reader loses the right meanwhile: a file that was cut off must not
//! look whole.

mod lines;
mod parts;

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::answer::ErrorBody;
use crate::error::{ApiResult, kind};
use crate::extract::query::{Asked, FromParameters, Parameters};
use crate::listing::asked::{self, AskedFilter, FilterQuery};
use crate::listing::format::Format;
use crate::routes::staff::export::lines::Lines;
use crate::routes::staff::export::parts::{CutOff, Part, Parts};
use async_stream::try_stream;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::Utc;
use diagflow_store::{Action, ObjectKind};
use futures::Stream;
use std::io;
use tracing::Instrument;
use utoipa::IntoParams;

/// A filter and a format.
pub(crate) struct AskedExport {
    filter: AskedFilter,
    format: Format,
}

/// How the file is written.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `AskedExport` reads")]
pub(crate) struct FormatQuery {
    /// `csv` (the default), or `jsonl`: one JSON object a line.
    #[param(example = "csv")]
    format: Option<String>,
}

impl FromParameters for AskedExport {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let filter = AskedFilter::from_parameters(parameters);
        let format = parameters.read("format", "format_invalid", str::parse);
        Self { filter, format: format.unwrap_or_default() }
    }
}

/// Exports everything that a filter matches, the newest first.
///
/// With the permission `clinical:read`, comments and results come along. In CSV, a cell that a spreadsheet
/// would take for a formula begins with an apostrophe. A connection that breaks before its end has not sent
/// everything; it breaks also when the caller may not export any more.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/export",
    tag = "staff",
    operation_id = "export_submissions",
    params(FilterQuery, FormatQuery),
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/csv"),
            (String = "application/jsonl"),
        )),
        (status = 400, description = "`invalid_query` (lists every fault)", body = ErrorBody),
    ),
)]
pub(crate) async fn export(
    State(state): State<AppState>,
    caller: Caller,
    Asked(asked): Asked<AskedExport>,
) -> ApiResult<Response> {
    let AskedExport { filter: AskedFilter { filter, told }, format } = asked;
    let clinical = caller.may(Permission::ClinicalRead);
    let line = caller.did(Action::SubmissionsExport, ObjectKind::Service, "").with("filter", told);
    let line = line.with("format", format.ending()).with("clinical", clinical);

    let store = state.app.store.clone();
    asked::permit(&store, &caller, &filter, &line).await?;
    let idle = state.app.settings.session_idle;
    let mut parts = Parts::new(store.clone(), caller.via, idle, filter, format, clinical);
    // The first part before the answer: what goes wrong by then can still be said.
    let first = parts.read().await?;
    let lines = Lines::begun(store, line).await?;
    let name = format!("submissions-{}.{}", Utc::now().format("%Y-%m-%d-%H%M%S"), format.ending());
    let headers = [
        (CONTENT_TYPE, format.media_type().to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(file(parts, first, lines))).into_response())
}

/// The file, part by part. Whatever makes it end early also breaks its connection.
fn file(
    mut parts: Parts,
    first: Part,
    mut lines: Lines,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    try_stream! {
        let mut part = first;
        loop {
            lines.handed_out(part.rows);
            yield part.bytes;
            if !parts.has_more() {
                break;
            }
            (parts, part) = next(parts).await?;
        }
        // In a task of its own, like what is read.
        let done = tokio::spawn(lines.done().in_current_span()).await.map_err(io::Error::other)?;
        done.map_err(|error| {
            tracing::error!(error = kind(&error), "the end of an export is not in the audit");
            io::Error::other("the export was cut off")
        })?;
    }
}

/// Reads on, in a task of its own: a client may go away at any moment, and a statement that is dropped in
/// the middle costs its connection.
async fn next(mut parts: Parts) -> Result<(Parts, Part), io::Error> {
    let read = async move {
        let part = parts.next().await;
        (parts, part)
    };
    let (parts, part) = tokio::spawn(read.in_current_span()).await.map_err(io::Error::other)?;
    let part = part.map_err(|error| {
        match &error {
            CutOff::Records(_) => tracing::error!(%error, "an export was cut off"),
            CutOff::Forbidden => tracing::info!(%error, "an export was cut off"),
        }
        io::Error::other("the export was cut off")
    })?;
    Ok((parts, part))
}
