use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// Get the version of the service
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
        profile: if cfg!(debug_assertions) { BuildProfile::Debug } else { BuildProfile::Release },
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
    /// Git commit of the build. `null` if `DIAGFLOW_COMMIT` was not set when the service was built.
    #[schema(required)]
    commit: Option<&'static str>,
    /// Build profile.
    profile: BuildProfile,
}

/// Build profile.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BuildProfile {
    Debug,
    Release,
}
