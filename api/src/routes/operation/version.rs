use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// Get the version
#[utoipa::path(
    get,
    path = "/version",
    tag = "operation",
    responses((status = 200, description = "The version of the running service.", body = Version)),
)]
pub(crate) async fn read_version() -> Json<Version> {
    Json(Version {
        name: "diagflow",
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("DIAGFLOW_COMMIT"),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}

/// Version of the running service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// Always `diagflow`.
    #[schema(example = "diagflow")]
    name: &'static str,
    /// Release number.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Commit, if `DIAGFLOW_COMMIT` was set in the build.
    commit: Option<&'static str>,
    /// Build profile: `debug` or `release`.
    #[schema(example = "release")]
    profile: &'static str,
}
