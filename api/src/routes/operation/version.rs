//! `GET /version`.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// Get the version
#[utoipa::path(
    get,
    path = "/version",
    tag = "operation",
    responses((status = 200, description = "What is running.", body = Version)),
)]
pub(crate) async fn read_version() -> Json<Version> {
    Json(Version {
        name: "diagflow",
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("DIAGFLOW_COMMIT"),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}

/// What is running.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// Always `diagflow`.
    #[schema(example = "diagflow")]
    name: &'static str,
    /// Release.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Commit, if the build set `DIAGFLOW_COMMIT`.
    commit: Option<&'static str>,
    /// `debug` or `release`.
    #[schema(example = "release")]
    profile: &'static str,
}
