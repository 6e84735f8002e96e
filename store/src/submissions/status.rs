//! Submission states and the table of allowed transitions.

use crate::db::sql_text::stored_as_text;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    AsExpression,
    FromSqlRow,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    strum::VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The submission is stored, but LoopAI has not accepted a request yet.
    Pending,
    Processing,
    Completed,
    Failed,
    TimedOut,
    Cancelled,
}
stored_as_text!(Status);

/// Each entry lists a state, the states a run may change it to, and the states only staff may change it to. See
/// `docs/ARCHITECTURE.md`, "State".
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
    /// All states, in the order in which a submission can reach them.
    pub const ALL: &[Status] = Self::VARIANTS;

    /// Returns the state's name as used in SQL, JSON and search attributes.
    pub fn name(self) -> &'static str {
        self.into()
    }

    pub fn is_final(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::TimedOut | Status::Cancelled)
    }

    /// Whether a run may change this state to `next`. Staff may make further transitions.
    pub fn can_become(self, next: Status) -> bool {
        TRANSITIONS.iter().any(|(from, to_by_run, _)| *from == self && to_by_run.contains(&next))
    }

    /// Whether staff may change this state to `next`. Staff may also make any transition that a run may make.
    pub fn can_be_set_by_staff(self, next: Status) -> bool {
        let to_by_staff = TRANSITIONS
            .iter()
            .any(|(from, _, to_by_staff)| *from == self && to_by_staff.contains(&next));
        to_by_staff || self.can_become(next)
    }

    pub(crate) fn sources(self) -> Vec<Status> {
        Status::ALL.iter().copied().filter(|from| from.can_become(self)).collect()
    }

    pub(crate) fn staff_sources(self) -> Vec<Status> {
        Status::ALL.iter().copied().filter(|from| from.can_be_set_by_staff(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_retry_leaves_a_final_state_and_only_staff_can_retry_completed_submissions() {
        for from in Status::ALL.iter().copied().filter(|status| status.is_final()) {
            for to in Status::ALL.iter().copied() {
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
    fn a_submission_is_completed_only_from_processing() {
        assert_eq!(Status::Completed.sources(), [Status::Processing]);
    }

    #[test]
    fn every_status_can_be_parsed_from_its_name() {
        for status in Status::ALL.iter().copied() {
            assert_eq!(status.name().parse::<Status>().expect("a status"), status);
        }
        assert!("done".parse::<Status>().is_err());
    }
}
