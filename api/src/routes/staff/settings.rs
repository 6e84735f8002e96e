use crate::app::AppState;
use crate::setting_list::SettingInUse;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// The settings of the API process that responds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingsBody {
    /// Always `true`.
    #[schema(example = true)]
    pub(crate) success: bool,
    /// The settings, in the order of the documentation.
    pub(crate) data: Vec<SettingInUse>,
}

/// List the settings
///
/// Returns the settings of the API process that responds, without secrets. The workers may have other settings.
#[utoipa::path(
    get,
    path = "/api/admin/settings",
    tag = "staff",
    responses((status = 200, description = "The settings.", body = SettingsBody)),
)]
pub(crate) async fn list_settings(State(state): State<AppState>) -> Json<SettingsBody> {
    Json(SettingsBody { success: true, data: state.app.setting_list.to_vec() })
}
