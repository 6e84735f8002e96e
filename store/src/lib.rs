//! The records: Diesel schema, models and every query, on MySQL 8 or MariaDB 10.6+.
//!
//! What lives here: the allowed moves of a submission's state, and the transactions that make them,
//! each together with its event. What does not: HTTP, Temporal, e-mail, bytes of files.

mod accounts;
mod after_restore;
mod api_keys;
mod audit;
mod audit_check;
mod audit_seal;
mod audit_search;
mod bytes;
mod clock;
mod connection;
mod counts;
mod deletion;
mod deliveries;
mod diagnosis;
mod error;
mod events;
mod failpoint;
mod files;
mod gate;
mod idempotency;
mod ids;
mod links;
mod listing;
mod loopai;
mod lost;
mod migrations;
mod moves;
mod places;
mod pool;
mod resends;
mod results;
mod retries;
mod runs;
mod schema;
mod sessions;
mod staged;
mod status;
mod submissions;
mod sweep;
mod throttles;
mod told;
mod unnamed;
mod users;

pub use accounts::{NewPassword, UserChange, UserChanged, UserFilter, UserPage};
pub use after_restore::{AfterRestore, TemporalState};
pub use api_keys::{ApiKey, KeyHolder, NewApiKey};
pub use audit::{
    Action, Actor, ActorKind, AuditEntry, AuditLine, BEGUN, BROKEN_OFF, DONE, ObjectKind,
};
pub use audit_check::{AuditCheck, AuditFault, AuditMark};
pub use audit_seal::AuditKey;
pub use audit_search::AuditFilter;
pub use bytes::{BytesError, FileBytes};
pub use deletion::Deletion;
pub use deliveries::{Attempt, Delivery, DeliveryKind, DeliveryStatus, Reason, Standing};
pub use diagnosis::{Ending, Outcome, Stored};
pub use error::{StoreError, StoreResult};
pub use events::{Change, Event, EventName, Step};
pub use failpoint::Failpoint;
pub use files::{File, NewFile};
pub use gate::GateState;
pub use idempotency::{IdempotencyClaim, KeyHash, KeyState};
pub use ids::{ApiKeyId, DeliveryId, FileId, SessionId, Sha256, SubmissionId, UserId};
pub use links::LinkKey;
pub use listing::{
    Clinical, Deleted, EmailFilter, Filter, InvalidWords, Key, Listed, Place, Slice, Sort, SortBy,
    Words,
};
pub use loopai::{Entry, Heard, LoopAiUse, Pass};
pub use lost::{Overdue, OverduePlace, StartedRun};
pub use moves::{Cancelling, Retrying};
pub use places::{Budget, Wait};
pub use pool::{PoolSettings, Store};
pub use resends::Resending;
pub use results::DiagnosisResult;
pub use retries::{RetryCounts, RetryFilter};
pub use runs::{Adoption, Run, RunKey};
pub use sessions::{NewSession, Refreshed, Rotation, Session};
pub use status::Status;
pub use submissions::{Consent, EmailAddress, InvalidEmail, NewSubmission, Submission};
pub use throttles::{Admitted, Attempt as SignInAttempt, KnownOrigin, Limit};
pub use users::{NewUser, Role, User};
