//! `GET /api/admin/submissions/export`: everything that a filter matches, as a file.
//!
//! Read and sent in reader, so an export of a million submissions takes no more memory than one of a
//! thousand, and one of large results no more than one of small ones. An error on the way breaks the
//! connection, and so does it when the reader loses the right meanwhile: a file that was cut off must not
//! look whole.

mod audit;
mod reader;

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::response::ErrorBody;
use crate::error::{ApiResult, kind};
use crate::extract::query::{FromParameters, Parameters, ValidQuery};
use crate::listing::export_format::ExportFormat;
use crate::listing::filter::{self, FilterQuery, FilterRequest};
use crate::routes::staff::export::audit::ExportAudit;
use crate::routes::staff::export::reader::{Chunk, ExportError, ExportReader};
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
pub(crate) struct ExportRequest {
    filter: FilterRequest,
    format: ExportFormat,
}

/// How the file is written.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `ExportRequest` reads")]
pub(crate) struct FormatQuery {
    /// `csv` (the default), or `jsonl`: one JSON object a line.
    #[param(example = "csv")]
    format: Option<String>,
}

impl FromParameters for ExportRequest {
    fn from_parameters(parameters: &mut Parameters) -> Self {
        let filter = FilterRequest::from_parameters(parameters);
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
    params(FilterQuery, FormatQuery),
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/csv"),
            (String = "application/jsonl"),
        )),
        (status = 400, description = "`invalid_query` (lists every fault)", body = ErrorBody),
    ),
)]
pub(crate) async fn export_submissions(
    State(state): State<AppState>,
    caller: Caller,
    ValidQuery(request): ValidQuery<ExportRequest>,
) -> ApiResult<Response> {
    let ExportRequest { filter: FilterRequest { filter, audit_details }, format } = request;
    let clinical = caller.has_permission(Permission::ClinicalRead);
    let entry = caller
        .audit_entry(Action::SubmissionsExport, ObjectKind::Service, "")
        .with("filter", audit_details);
    let entry = entry.with("format", format.extension()).with("clinical", clinical);

    let store = state.app.store.clone();
    filter::check_comment_search(&store, &caller, &filter, &entry).await?;
    let idle = state.app.settings.session_idle;
    let mut reader =
        ExportReader::new(store.clone(), caller.auth_method, idle, filter, format, clinical);
    // The first chunk before the answer: what goes wrong by then can still be said.
    let first = reader.read().await?;
    let audit = ExportAudit::start(store, entry).await?;
    let name =
        format!("submissions-{}.{}", Utc::now().format("%Y-%m-%d-%H%M%S"), format.extension());
    let headers = [
        (CONTENT_TYPE, format.media_type().to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(file(reader, first, audit))).into_response())
}

/// The file, chunk by chunk. Whatever makes it end early also breaks its connection.
fn file(
    mut reader: ExportReader,
    first: Chunk,
    mut audit: ExportAudit,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    try_stream! {
        let mut chunk = first;
        loop {
            audit.add_rows(chunk.rows);
            yield chunk.bytes;
            if !reader.has_more() {
                break;
            }
            (reader, chunk) = next(reader).await?;
        }
        // In a task of its own, like what is read.
        let done = tokio::spawn(audit.finish().in_current_span()).await.map_err(io::Error::other)?;
        done.map_err(|error| {
            tracing::error!(error = kind(&error), "the end of an export is not in the audit");
            io::Error::other("the export was cut off")
        })?;
    }
}

/// Reads on, in a task of its own: a client may go away at any moment, and a statement that is dropped in
/// the middle costs its connection.
async fn next(mut reader: ExportReader) -> Result<(ExportReader, Chunk), io::Error> {
    let read = async move {
        let chunk = reader.next().await;
        (reader, chunk)
    };
    let (reader, chunk) = tokio::spawn(read.in_current_span()).await.map_err(io::Error::other)?;
    let chunk = chunk.map_err(|error| {
        match &error {
            ExportError::Records(_) => tracing::error!(%error, "an export was cut off"),
            ExportError::Forbidden => tracing::info!(%error, "an export was cut off"),
        }
        io::Error::other("the export was cut off")
    })?;
    Ok((reader, chunk))
}
