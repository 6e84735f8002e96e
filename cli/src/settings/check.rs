//! Checks that involve more than one setting.

use super::reader::Reader;
use super::{AdminSettings, DatabaseSettings, Environment, Role, Settings, production};
use diagflow_workflows::PollSchedule;
use url::Url;

/// Temporal terminates a run whose history exceeds 51,200 events. The remaining events are reserved for everything
/// other than polls.
const MAX_POLL_EVENTS: u64 = 40_000;
/// See docs/adr/0002-history-budget.md.
const EVENTS_PER_POLL: u64 = 6;

pub(super) fn all(reader: &mut Reader, settings: &Settings, role: Role) {
    check_history_size(reader, &settings.dispatch.schedule);
    check_public_url(reader, &settings.api.public_url);
    if settings.mail.user.is_some() != settings.mail.password.is_some() {
        reader.reject("SMTP_USER", "Set both SMTP_USER and SMTP_PASSWORD, or neither.");
    }
    if settings.environment == Environment::Production {
        production::check(reader, settings, role);
    }
}

pub(super) fn admin(reader: &mut Reader, settings: &AdminSettings) {
    if settings.environment == Environment::Production {
        production::check_admin(reader, settings);
    }
}

pub(super) fn database(reader: &mut Reader, settings: &DatabaseSettings) {
    if settings.environment == Environment::Production {
        production::check_database(reader, &settings.database);
    }
}

/// Cookie paths start at the root of the host, so browsers would not send the cookies if the API were under a path
/// prefix.
fn check_public_url(reader: &mut Reader, url: &Url) {
    let is_root = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !is_root || !url.username().is_empty() || url.password().is_some() {
        reader.reject(
            "PUBLIC_URL",
            "Use an address without a path, such as `https://diagflow.example.org`. The API needs \
             its own host name because its cookies do not work under a path.",
        );
    }
}

/// A run's history must not exceed Temporal's limit, even if the run polls LoopAI until its deadline.
fn check_history_size(reader: &mut Reader, schedule: &PollSchedule) {
    let max_polls = MAX_POLL_EVENTS / EVENTS_PER_POLL;
    let last = schedule.waits_ms.last().copied().unwrap_or_default();
    if last.saturating_mul(max_polls) < schedule.deadline_ms {
        reader.reject(
            "DIAGNOSIS_POLL_SECONDS",
            format!(
                "Use a longer last delay, or a shorter DIAGNOSIS_DEADLINE_SECONDS: a run can poll \
                 at most {max_polls} times."
            ),
        );
    }
}
