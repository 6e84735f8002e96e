//! Where a submission stands, and the one table of allowed moves.

use crate::db::ids::stored_as_text;
use diesel::deserialize::FromSqlRow;
use diesel::deserialize::{self, FromSql};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// State of a submission.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, AsExpression, FromSqlRow,
)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Stored; LoopAI was not asked yet.
    Pending,
    /// LoopAI is at work.
    Processing,
    /// The result is stored.
    Completed,
    /// LoopAI could not diagnose it, or refused.
    Failed,
    /// No answer came before the deadline.
    TimedOut,
    /// Called off by staff or an operator.
    Cancelled,
}

/// Every move that there is; nothing else is ever written: from where, where to by a run, and where to by
/// staff besides. Source: `docs/ARCHITECTURE.md`, "State".
const TRANSITIONS: &[(Status, &[Status], &[Status])] = &[
    (
        Status::Pending,
        &[Status::Processing, Status::Failed, Status::TimedOut, Status::Cancelled],
        &[],
    ),
    (
        Status::Processing,
        &[Status::Completed, Status::Failed, Status::TimedOut, Status::Cancelled],
        &[],
    ),
    (Status::Completed, &[], &[Status::Pending]),
    (Status::Failed, &[Status::Pending], &[]),
    (Status::TimedOut, &[Status::Pending], &[]),
    (Status::Cancelled, &[Status::Pending], &[]),
];

impl Status {
    /// Every status, in the order of a submission's life.
    pub const ALL: [Status; 6] = [
        Status::Pending,
        Status::Processing,
        Status::Completed,
        Status::Failed,
        Status::TimedOut,
        Status::Cancelled,
    ];

    /// The name in SQL, JSON, search attributes and pages.
    pub fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Processing => "processing",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::TimedOut => "timed_out",
            Status::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::TimedOut | Status::Cancelled)
    }

    /// Whether a run may move a submission from here to `next`.
    pub fn can_become(self, next: Status) -> bool {
        TRANSITIONS.iter().any(|(from, to_by_run, _)| *from == self && to_by_run.contains(&next))
    }

    /// Whether staff may move a submission from here to `next`: whatever a run may, and more.
    pub fn can_be_set_by_staff(self, next: Status) -> bool {
        let to_by_staff = TRANSITIONS
            .iter()
            .any(|(from, _, to_by_staff)| *from == self && to_by_staff.contains(&next));
        to_by_staff || self.can_become(next)
    }

    /// The states from which a run may bring a submission here.
    pub(crate) fn sources(self) -> Vec<Status> {
        Status::ALL.into_iter().filter(|from| from.can_become(self)).collect()
    }

    /// The states from which staff may bring a submission here.
    pub(crate) fn staff_sources(self) -> Vec<Status> {
        Status::ALL.into_iter().filter(|from| from.can_be_set_by_staff(self)).collect()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no status.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no status")]
pub struct UnknownStatus(String);

impl FromStr for Status {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Status::ALL
            .into_iter()
            .find(|status| status.name() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

stored_as_text!(Status);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_retry_leaves_a_final_state_and_only_staff_retry_a_completed_one() {
        for from in Status::ALL.into_iter().filter(|status| status.is_final()) {
            for to in Status::ALL {
                let allowed = to == Status::Pending && from != Status::Completed;
                assert_eq!(from.can_become(to), allowed, "{from} -> {to}");
                assert_eq!(
                    from.can_be_set_by_staff(to),
                    to == Status::Pending,
                    "{from} -> {to} by staff"
                );
            }
        }
    }

    #[test]
    fn only_processing_leads_to_completed() {
        assert_eq!(Status::Completed.sources(), [Status::Processing]);
    }

    #[test]
    fn names_parse_back() {
        for status in Status::ALL {
            assert_eq!(status.name().parse::<Status>().expect("a status"), status);
        }
        assert!("done".parse::<Status>().is_err());
    }
}
