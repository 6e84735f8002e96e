//! The records: Diesel schema, models and every query, on MySQL 8 or MariaDB 10.6+.
//!
//! What lives here: the allowed moves of a submission's state, and the transactions that make them,
//! each together with its event. What does not: HTTP, Temporal, e-mail, bytes of files.

mod accounts;
mod audit;
mod db;
mod deliveries;
mod files;
mod listing;
mod loopai;
mod runs;
mod staff;
mod submissions;

pub use accounts::api_keys::{ApiKey, KeyHolder, NewApiKey};
pub use accounts::sessions::{NewSession, Refreshed, Rotation, Session};
pub use accounts::throttles::{Admitted, Attempt as SignInAttempt, KnownOrigin, Limit};
pub use accounts::user_admin::{NewPassword, UserChange, UserChanged, UserFilter, UserPage};
pub use accounts::users::{NewUser, Role, User};
pub use audit::entry::{Action, Actor, ActorKind, AuditLine, BEGUN, BROKEN_OFF, DONE, ObjectKind};
pub use audit::log::AuditEntry;
pub use audit::seal::AuditKey;
pub use audit::search::AuditFilter;
pub use audit::verify::{AuditCheck, AuditFault, AuditMark};
pub use db::email_address::{EmailAddress, InvalidEmail};
pub use db::error::{StoreError, StoreResult};
pub use db::failpoint::Failpoint;
pub use db::ids::{ApiKeyId, DeliveryId, FileId, RunKey, SessionId, Sha256, SubmissionId, UserId};
pub use db::pool::{PoolSettings, Store};
pub use deliveries::attempts::{Attempt, Reason, Standing};
pub use deliveries::model::{Delivery, DeliveryKind, DeliveryStatus};
pub use files::blobs::{BytesError, FileBytes};
pub use files::links::LinkKey;
pub use files::records::{File, NewFile};
pub use listing::clinical::Clinical;
pub use listing::filter::{Deleted, EmailFilter, Filter};
pub use listing::full_text::{InvalidWords, Words};
pub use listing::page::{Key, Listed, Place, Slice, Sort, SortBy};
pub use loopai::admission::{Entry, Heard, LoopAiUse, Pass};
pub use loopai::breaker::GateState;
pub use loopai::slots::{Budget, Wait};
pub use runs::adoption::Adoption;
pub use runs::reconcile::{Overdue, OverduePlace, StartedRun};
pub use runs::row::Run;
pub use runs::transitions::{Ending, Outcome, Stored};
pub use staff::after_restore::{AfterRestore, TemporalState};
pub use staff::bulk_retry::{RetryCounts, RetryFilter};
pub use staff::cancel_retry::{Cancelling, Retrying};
pub use staff::delete::Deletion;
pub use staff::resend::Resending;
pub use submissions::create::{Consent, NewSubmission};
pub use submissions::events::{Change, Event, EventName, Step};
pub use submissions::idempotency::{IdempotencyClaim, KeyHash, KeyState};
pub use submissions::results::DiagnosisResult;
pub use submissions::row::Submission;
pub use submissions::status::Status;
