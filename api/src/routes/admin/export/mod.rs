//! `GET /api/admin/submissions/export`: everything that a filter matches, as a file.
//!
//! Read and sent in parts, so an export of a million submissions takes no more memory than one of a
//! thousand. An error on the way breaks the connection, and so does it when the reader loses the right
//! meanwhile: a file that was cut off must not look whole.

use crate::app::AppState;
use crate::auth::{Caller, Permission, Via, still_may};
use crate::error::{ApiResult, ErrorBody, kind};
use crate::listing::{AskedFilter, ExportRow, FilterQuery, Format};
use crate::query::{Asked, FromParameters, Parameters};
use async_stream::try_stream;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::Utc;
use diagflow_store::{
    Action, Filter, Key, ObjectKind, Place, Slice, Sort, SortBy, Store, StoreError,
};
use futures::Stream;
use std::io;
use tracing::Instrument;
use utoipa::IntoParams;

/// Submissions of one part.
const PART: usize = 500;
/// The same where results come along, each of which may be large.
const CLINICAL_PART: usize = 50;

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
    state.app.store.audit(&line).await?;

    let (store, via) = (state.app.store.clone(), caller.via);
    let mut export = Export { store, via, filter, format, clinical, after: None };
    // The first part before the answer: what goes wrong by then can still be said.
    let first = export.part().await?;
    let name = format!("submissions-{}.{}", Utc::now().format("%Y-%m-%d-%H%M%S"), format.ending());
    let headers = [
        (CONTENT_TYPE, format.media_type().to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(parts(export, first))).into_response())
}

/// An export on its way.
#[derive(Clone)]
struct Export {
    store: Store,
    /// By what its reader was recognised.
    via: Via,
    filter: Filter,
    format: Format,
    clinical: bool,
    /// The last submission that was read.
    after: Option<Key>,
}

/// A part of the file, and whether more follow.
struct Part {
    bytes: Bytes,
    after: Option<Key>,
    more: bool,
}

fn parts(
    mut export: Export,
    mut part: Part,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    try_stream! {
        loop {
            let Part { bytes, after, more } = part;
            yield bytes;
            if !more {
                break;
            }
            export.after = after;
            // In a task of its own: a client may go away at any moment, and a statement that is dropped in
            // the middle costs its connection.
            let mut next = export.clone();
            let read = tokio::spawn(async move { next.next_part().await }.in_current_span()).await;
            let next = read.map_err(io::Error::other)?.map_err(|error| {
                tracing::error!(error = kind(&error), "an export was cut off");
                io::Error::other("the export was cut off")
            })?;
            part = next.ok_or_else(|| {
                tracing::info!("an export was cut off: its reader may not read it any more");
                io::Error::other("the export was cut off")
            })?;
        }
    }
}

impl Export {
    /// A part after the first one; nothing when the reader may not read it any more.
    async fn next_part(&mut self) -> Result<Option<Part>, StoreError> {
        let clinical = self.clinical.then_some(Permission::ClinicalRead);
        let needed: Vec<_> = clinical.into_iter().chain([Permission::SubmissionsExport]).collect();
        match still_may(&self.store, self.via, &needed).await? {
            true => self.part().await.map(Some),
            false => Ok(None),
        }
    }

    async fn part(&mut self) -> Result<Part, StoreError> {
        let size = if self.clinical { CLINICAL_PART } else { PART };
        let place = self.after.map_or(Place::Skip(0), Place::After);
        let sort = Sort { by: SortBy::Created, descending: true };
        let Slice { rows, more } = self.store.list(&self.filter, sort, place, size).await?;
        let after = rows.last().map(|row| Key::of(row, sort.by));
        let mut clinical = match self.clinical {
            true => self.store.clinical(&rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?,
            false => Default::default(),
        };
        let rows = rows.into_iter().map(|row| {
            let clinical = clinical.remove(&row.id);
            ExportRow::of(row, clinical)
        });
        let bytes = self.format.written(rows, self.after.is_none(), self.clinical);
        Ok(Part { bytes: bytes.into(), after, more })
    }
}
