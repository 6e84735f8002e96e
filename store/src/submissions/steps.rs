//! The steps recorded by events.

use crate::db::sql_text::stored_as_text;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use strum::{Display, EnumIter, EnumString, IntoStaticStr, VariantNames};

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow, Display, EnumString, VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum EventName {
    StatusUpdate,
    ResultReady,
}
stored_as_text!(EventName);

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    AsExpression,
    FromSqlRow,
    Display,
    EnumIter,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[diesel(sql_type = Text)]
#[strum(serialize_all = "snake_case")]
pub enum Step {
    Received,
    /// LoopAI is busy or unavailable, and the submission is waiting for its turn.
    Waiting,
    Diagnosing,
    Completed,
    /// The last event of a successful run.
    ResultReady,
    Failed,
    TimedOut,
    Cancelled,
    Retried,
    MailSent,
    MailUnknown,
    MailFailed,
    Deleted,
    Restored,
    /// The last event of a submission whose personal data has been removed.
    Erased,
}
stored_as_text!(Step);

impl Step {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the patient's event stream ends after this step. Unless the submission is restarted, only events about
    /// e-mails may follow.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Step::ResultReady | Step::Failed | Step::TimedOut | Step::Cancelled | Step::Erased
        )
    }

    pub(crate) fn event_name(self) -> EventName {
        match self {
            Step::ResultReady => EventName::ResultReady,
            _ => EventName::StatusUpdate,
        }
    }
}
