//! Finds the figures that need somebody's attention.

use crate::pages::console::context::ConsoleContext;
use crate::routes::staff::overview::OverviewBody;
use crate::routes::staff::pauses::PauseBody;
use diagflow_locales::Text;
use diagflow_store::BreakerState;

/// Addresses of the lists of the submissions behind figures.
pub(super) const STUCK: &str = "/admin?stuck=true";
pub(super) const OPEN: &str = "/admin?status=pending,processing&sort=created_at";
pub(super) const EMAILS_OVERDUE: &str = "/admin?email_state=overdue";
pub(super) const EMAILS_FAILED: &str = "/admin?email_state=failed";
pub(super) const EMAILS_UNKNOWN: &str = "/admin?email_state=unknown";

/// A fact that needs somebody's attention.
pub(super) struct Alert {
    pub(super) text: String,
    /// Address of the page or the part of the page with the details.
    pub(super) link: &'static str,
}

/// Returns the alerts, with those that concern all submissions first.
pub(super) fn alerts(
    page: &ConsoleContext,
    overview: &OverviewBody,
    pauses: &[PauseBody],
) -> Vec<Alert> {
    let paused = pauses.iter().filter(|pause| pause.paused);
    let mut alerts: Vec<_> = paused
        .map(|pause| Alert {
            text: page.text_for("console-overview-alert-paused", &pause.target.to_string()),
            link: "#parts",
        })
        .collect();
    alerts.extend(system_alert(page, overview));
    if overview.loopai.breaker != BreakerState::Closed.into() {
        let state = overview.loopai.breaker.to_string();
        let text = page.text_for("console-overview-alert-breaker", &state);
        alerts.push(Alert { text, link: "#parts" });
    }
    let emails = &overview.emails;
    for (count, text, link) in [
        (overview.stuck, page.text("console-overview-alert-stuck"), STUCK),
        (overview.overdue, page.text("console-overview-alert-overdue"), OPEN),
        (emails.overdue, page.text("console-overview-alert-emails-overdue"), EMAILS_OVERDUE),
        (emails.failed, page.text("console-overview-alert-emails-failed"), EMAILS_FAILED),
        (emails.unknown, page.text("console-overview-alert-emails-unknown"), EMAILS_UNKNOWN),
    ] {
        if count > 0 {
            alerts.push(Alert { text: counted(page, text, count), link });
        }
    }
    alerts
}

fn system_alert(page: &ConsoleContext, overview: &OverviewBody) -> Option<Alert> {
    let text = match &overview.workers {
        None => page.text("console-overview-alert-temporal"),
        Some(workers) if workers.is_empty() => page.text("console-overview-alert-no-worker"),
        Some(_) => return None,
    };
    Some(Alert { text: text.to_string(), link: "#workers" })
}

/// Inserts a number, which also selects the plural form.
fn counted(page: &ConsoleContext, text: Text, count: i64) -> String {
    text.arg("count", count).arg("shown", page.number(count)).to_string()
}
