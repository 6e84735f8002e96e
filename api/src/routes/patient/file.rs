use crate::app::AppState;
use crate::auth::audit::refuse;
use crate::error::{ApiError, ApiResult};
use crate::extract::path_id::PathId;
use crate::extract::submission_access::SubmissionAccess;
use crate::openapi::files::FileBytes;
use crate::openapi::route::{Documented, RouteDocument};
use crate::routes::image::{ImageResponse, image_response};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use diagflow_store::Action;
use serde::Deserialize;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

/// Number of the photo in the path, starting at 1.
#[derive(Deserialize)]
pub(crate) struct PhotoPosition {
    position: i32,
}

impl FromRequestParts<AppState> for PhotoPosition {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let PathId(position) = PathId::from_request_parts(parts, state).await?;
        Ok(position)
    }
}

impl Documented for PhotoPosition {
    fn document(route: &mut RouteDocument<'_>) {
        let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        let parameter = ParameterBuilder::new()
            .name("position")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some("Number of the photo, starting at 1."))
            .schema(Some(schema));
        route.add_parameters([parameter.build()]);
    }
}

/// Get one of your photos
///
/// Returns the photo as uploaded. Staff need the `clinical:read` permission, and each view by an
/// account is recorded in the audit log.
#[utoipa::path(
    get,
    path = "/api/user/files/{id}/{position}",
    tag = "submissions",
    responses(
        (status = 200, description = "The photo.", content(
            (inline(FileBytes) = "image/jpeg"),
            (inline(FileBytes) = "image/png"),
            (inline(FileBytes) = "image/webp"),
        )),
    ),
)]
pub(crate) async fn read_own_file(
    State(state): State<AppState>,
    access: SubmissionAccess,
    PhotoPosition { position }: PhotoPosition,
) -> ApiResult<ImageResponse> {
    let files = state.app.store.files(access.submission.id).await?;
    let file = files.into_iter().find(|file| file.position == position);
    let file = file.ok_or(ApiError::NotFound)?;
    let bytes = match access.is_clinical() {
        true => state.app.bytes.get(file.sha256).await.map_err(ApiError::from),
        false => Err(ApiError::NotFound),
    };
    let entry = access.audit_entry(Action::FileView).map(|it| it.with("file", file.id.to_string()));
    match (bytes, entry) {
        (Ok(bytes), None) => Ok(image_response(file, bytes)),
        (Ok(bytes), Some(entry)) => {
            state.app.store.append_audit_entry(&entry).await?;
            Ok(image_response(file, bytes))
        }
        (Err(error), None) => Err(error),
        (Err(error), Some(entry)) => Err(refuse(&state, entry, error).await),
    }
}
