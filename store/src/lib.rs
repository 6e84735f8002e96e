//! The database layer: the Diesel schema, the models and all queries, for MySQL 8 and MariaDB 10.6 or later. This crate
//! also stores uploaded files. It contains no code for the HTTP API, Temporal or e-mail.
//!
//! All times are in UTC and come from the database's clock. Methods that return [`StoreResult`] fail if the database
//! does not respond or rejects a statement. A failed call changes nothing unless the method's documentation says
//! otherwise.

mod accounts;
mod audit;
mod codes;
mod db;
mod deliveries;
mod erasure;
mod files;
mod keyring;
mod listing;
mod loopai;
mod mac_key;
mod overview;
mod pauses;
mod runs;
pub mod settings;
mod staff;
mod submissions;

pub use accounts::api_keys::{ApiKey, ApiKeyOwner, NewApiKey};
pub use accounts::sessions::{EndReason, NewSession, RefreshOutcome, Rotation, Session};
pub use accounts::throttles::{AttemptDecision, KnownClient, SignInAttempt, ThrottleLimit};
pub use accounts::user_admin::{NewPassword, UserChange, UserChangeOutcome, UserFilter, UserPage};
pub use accounts::users::{NewUser, Role, User};
pub use audit::entry::{
    Action, Actor, ActorKind, AuditEntry, INTERRUPTED, ObjectKind, STARTED, SUCCESS,
};
pub use audit::log::{MAX_REASON_LENGTH, NewAuditEntry};
pub use audit::seal::AuditKey;
pub use audit::search::AuditFilter;
pub use audit::verify::{AuditCheckpoint, AuditFault, AuditVerification};
pub use codes::FailureCode;
pub use db::email_address::{EmailAddress, InvalidEmailAddress, MAX_EMAIL_LENGTH};
pub use db::error::{StoreError, StoreResult};
pub use db::failpoint::Failpoint;
pub use db::ids::{ApiKeyId, DeliveryId, FileId, RunKey, SessionId, Sha256, SubmissionId, UserId};
pub use db::limits::TooSmallLimit;
pub use db::pool::{PoolSettings, Store};
pub use db::readiness::DatabaseState;
pub use db::sql_text::truncated;
pub use db::utc_time::UtcTime;
pub use deliveries::attempts::{DeliveryAttempt, DeliveryState, FailureReason};
pub use deliveries::email_link::{EmailLinkCode, EmailLinkKey, EmailLinkState};
pub use deliveries::email_state::EmailState;
pub use deliveries::model::{Delivery, DeliveryKind, DeliveryStatus};
pub use deliveries::result_email::{ResultEmail, result_email_status};
pub use erasure::eraser::{EraseError, EraseOutcome, Eraser, Erasure};
pub use erasure::log::ErasureLog;
pub use erasure::receipt::{
    ErasedBy, ErasedFile, ErasureContent, ErasureReceipt, ReceiptKey, RemovedData,
};
pub use erasure::retention::{ErasureSettings, ExpiredSubmission, RetentionPeriod};
pub use files::blobs::{BlobError, BlobStore};
pub use files::links::LinkKey;
pub use files::records::{File, NewFile};
pub use keyring::Keyring;
pub use listing::clinical::ClinicalData;
pub use listing::filter::{DeletedFilter, EmailFilter, SubmissionFilter};
pub use listing::full_text::{FullTextQuery, InvalidFullTextQuery};
pub use listing::page::{Page, PagePosition, Sort, SortBy, SortKey, SubmissionSummary};
pub use loopai::admission::{LoopAiUsage, NextRequest, Permit, SlotOutcome};
pub use loopai::breaker::{BreakerState, RequestHealth};
pub use loopai::slots::{LoopAiLimits, WaitReason};
pub use loopai::wait_status::WaitStatus;
pub use mac_key::MacKey;
pub use overview::dependencies::{EmailContact, LoopAiContact};
pub use overview::emails::UnsettledEmails;
pub use overview::oldest_waiting::OldestWaiting;
pub use overview::outcomes::{OutcomeCounts, Outcomes};
pub use overview::submissions_per_hour::HourlyCount;
pub use overview::time_to_result::TimeToResult;
pub use pauses::{Pause, PauseTarget};
pub use runs::adoption::Adoption;
pub use runs::cluster::TemporalCluster;
pub use runs::reconcile::{StaleCursor, StaleItem, StartedRun};
pub use runs::row::Run;
pub use runs::transitions::{EndStatus, RunEnd, TransitionOutcome};
pub use staff::after_restore::{RestoreSummary, TemporalState};
pub use staff::bulk::{BulkChange, BulkCounts, NotResendable};
pub use staff::cancel_retry::{CancelOutcome, RetryOutcome};
pub use staff::delete::DeleteOutcome;
pub use staff::resend::ResendOutcome;
pub use staff::revoke_token::RevokeTokenOutcome;
pub use staff::update::{SubmissionChange, UpdateOutcome, UpdatedSubmission};
pub use submissions::create::{Consent, CreateOutcome, NewSubmission};
pub use submissions::events::{Event, EventRow};
pub use submissions::idempotency::{IdempotencyClaim, IdempotencyKeyHash, IdempotencyState};
pub use submissions::messages::{PAUSED_MESSAGE, end_message, result_message};
pub use submissions::recipient_limits::{ExceededLimit, RecipientLimits};
pub use submissions::report::{Finding, Report, ReportLimits};
pub use submissions::results::{DiagnosisResult, MAX_RESULT_BYTES};
pub use submissions::row::Submission;
pub use submissions::status::Status;
pub use submissions::steps::{EventName, Step};
