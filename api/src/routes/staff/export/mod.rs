//! Exports submissions as a CSV or JSON Lines file.
//!
//! Data is read and sent in chunks, so memory usage does not depend on the size of the export. If an error occurs or
//! the caller loses the permission, the connection is aborted, because a truncated file must not look complete.

mod audit;
mod reader;

use crate::app::AppState;
use crate::auth::caller::Caller;
use crate::auth::permissions::Permission;
use crate::error::field_errors::FieldErrorCode;
use crate::error::{ApiResult, ErrorCode};
use crate::extract::query::{FromParameters, Parameters, ValidQuery};
use crate::listing::export_format::ExportFormat;
use crate::listing::filter::{self, FilterRequest};
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
use utoipa::openapi::path::Parameter;

pub(crate) struct ExportRequest {
    filter: FilterRequest,
    format: ExportFormat,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters of `ExportRequest`")]
pub(crate) struct FormatQuery {
    /// File format: `csv` (default), or `jsonl` for one JSON object per line.
    #[param(example = "csv")]
    format: Option<String>,
}

impl FromParameters for ExportRequest {
    const ERRORS: &'static [ErrorCode] = FilterRequest::ERRORS;

    fn parameters() -> Vec<Parameter> {
        [FilterRequest::parameters(), FormatQuery::into_params(|| None)].concat()
    }

    fn from_parameters(parameters: &mut Parameters) -> Self {
        let filter = FilterRequest::from_parameters(parameters);
        let format = parameters.read("format", FieldErrorCode::FormatInvalid, str::parse);
        Self { filter, format: format.unwrap_or_default() }
    }
}

/// Export submissions
///
/// Returns all submissions that match the filter, newest first. Comments and results are included only for callers with
/// the `clinical:read` permission. In a CSV file, cells that a spreadsheet would interpret as formulas are prefixed
/// with an apostrophe. If an error occurs or the caller loses the permission, the connection is aborted and the file
/// remains incomplete.
#[utoipa::path(
    get,
    path = "/api/admin/submissions/export",
    tag = "staff",
    responses(
        (status = 200, description = "The exported file.", content(
            (String = "text/csv"),
            (String = "application/jsonl"),
        )),
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
    filter::check_filter(&state, &caller, &filter, &entry).await?;
    let idle = state.app.settings.session_idle;
    let mut reader =
        ExportReader::new(store.clone(), caller.auth_method, idle, filter, format, clinical);
    // The first chunk is read before the response starts, so that an early failure can still produce an error response.
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

/// Streams the file in chunks. An error aborts the connection.
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
        // The query runs in a separate task so that it is not dropped if the client disconnects.
        let done = tokio::spawn(audit.finish().in_current_span()).await.map_err(io::Error::other)?;
        done.map_err(|error| {
            tracing::error!(error = error.kind(), "cannot record the end of an export");
            io::Error::other("export interrupted")
        })?;
    }
}

/// Reads the next chunk in a separate task. Otherwise, a client that disconnects would cause the query in progress to
/// be dropped and its database connection to be closed.
async fn next(mut reader: ExportReader) -> Result<(ExportReader, Chunk), io::Error> {
    let read = async move {
        let chunk = reader.next().await;
        (reader, chunk)
    };
    let (reader, chunk) = tokio::spawn(read.in_current_span()).await.map_err(io::Error::other)?;
    let chunk = chunk.map_err(|error| {
        match &error {
            ExportError::Store(_) => tracing::error!(%error, "export interrupted"),
            ExportError::Forbidden => tracing::info!(%error, "export interrupted"),
        }
        io::Error::other("export interrupted")
    })?;
    Ok((reader, chunk))
}
