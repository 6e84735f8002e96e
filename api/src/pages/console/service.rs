//! The pages about the service itself: its settings and its dependencies.

use crate::app::AppState;
use crate::error::ApiResult;
use crate::pages::console::context::ConsoleContext;
use crate::pages::render::page;
use crate::routes::staff::health::{DependencyBody, DependencyState, read_dependencies};
use crate::routes::staff::settings::list_settings;
use crate::setting_list::SettingInUse;
use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};

/// The settings of one section.
struct Section {
    title: String,
    settings: Vec<SettingInUse>,
}

#[derive(Template)]
#[template(path = "console/settings.html")]
struct SettingsTemplate {
    page: ConsoleContext,
    sections: Vec<Section>,
}

pub(super) async fn read_settings(state: State<AppState>, context: ConsoleContext) -> Response {
    let Json(found) = list_settings(state).await;
    let mut sections: Vec<Section> = Vec::new();
    for setting in found.data {
        match sections.last_mut().filter(|section| section.title == setting.section) {
            Some(section) => section.settings.push(setting),
            None => {
                let title = setting.section.clone();
                sections.push(Section { title, settings: vec![setting] });
            }
        }
    }
    page(StatusCode::OK, &SettingsTemplate { page: context, sections })
}

#[derive(Template)]
#[template(path = "console/health.html")]
struct HealthTemplate {
    page: ConsoleContext,
    dependencies: Vec<DependencyBody>,
    version: &'static str,
    commit: Option<&'static str>,
    now: DateTime<Utc>,
}

impl HealthTemplate {
    /// Returns the text for a problem. The problem of the mail server is the failure code of an e-mail.
    fn problem_text(&self, code: &str) -> String {
        let known = self.page.language.text_for("console-problem", code);
        known.map_or_else(|| self.page.text_for("console-failure", code), String::from)
    }

    /// Returns the number of dependencies with a problem.
    fn problems(&self) -> usize {
        let is_problem = |state| !matches!(state, DependencyState::Healthy);
        self.dependencies.iter().filter(|dependency| is_problem(dependency.state)).count()
    }
}

pub(super) async fn read_health(
    state: State<AppState>,
    context: ConsoleContext,
) -> ApiResult<Response> {
    let Json(found) = read_dependencies(state).await?;
    let template = HealthTemplate {
        page: context,
        dependencies: found.data,
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("DIAGFLOW_COMMIT"),
        now: Utc::now(),
    };
    Ok(page(StatusCode::OK, &template))
}
