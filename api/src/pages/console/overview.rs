//! The page with the figures about the service, on which staff pause and resume parts of it.

mod alerts;

use crate::app::AppState;
use crate::auth::permissions::Permission;
use crate::error::ApiResult;
use crate::pages::console::context::ConsoleContext;
use crate::pages::console::overview::alerts::{Alert, alerts};
use crate::pages::render::page;
use crate::routes::staff::overview::{CauseBody, HourBody, OverviewBody};
use crate::routes::staff::pauses::PauseBody;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;
use diagflow_store::UtcTime;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Template)]
#[template(path = "console/overview.html")]
struct OverviewTemplate {
    page: ConsoleContext,
    overview: OverviewBody,
    pauses: Vec<PauseBody>,
    alerts: Vec<Alert>,
    may_pause: bool,
    now: UtcTime,
}

/// A cause of failures, with its number of failures within a day and a week.
struct CauseRow<'a> {
    day: Option<&'a CauseBody>,
    week: &'a CauseBody,
}

impl OverviewTemplate {
    fn is_empty(&self) -> bool {
        self.received() == 0 && self.overview.states.iter().all(|state| state.count == 0)
    }

    /// Returns the number of submissions in all hours of the chart.
    fn received(&self) -> i64 {
        self.overview.submissions_per_hour.iter().map(|hour| hour.received).sum()
    }

    /// Returns the address of the list of the submissions received in an hour.
    fn address_of(&self, hour: &HourBody) -> String {
        let (from, to) = (self.page.datetime(hour.hour), self.page.datetime(hour.hour + HOUR));
        format!("/admin?created_from={from}&created_to={to}")
    }

    fn causes(&self) -> Vec<CauseRow<'_>> {
        let of_day = &self.overview.outcomes_last_day.causes;
        let of_week = self.overview.outcomes_last_week.causes.iter();
        let same = |week: &CauseBody| of_day.iter().find(|day| day.error_code == week.error_code);
        of_week.map(|week| CauseRow { day: same(week), week }).collect()
    }

    /// Returns the share of a cause among the failures within a week, as the width of its bar.
    fn percent_of_failures(&self, cause: &CauseBody) -> i64 {
        cause.count * 100 / self.overview.outcomes_last_week.failed.max(1)
    }
}

pub(super) async fn read_overview_page(
    State(state): State<AppState>,
    context: ConsoleContext,
) -> ApiResult<Response> {
    let overview = OverviewBody::read(&state).await?;
    let pauses = PauseBody::read_all(&state.app.store).await?;
    let template = OverviewTemplate {
        may_pause: context.has_permission(Permission::ServicePause),
        alerts: alerts(&context, &overview, &pauses),
        page: context,
        overview,
        pauses,
        now: Utc::now().into(),
    };
    Ok(page(StatusCode::OK, &template))
}
