//! What a patient sends: stored whole, in one transaction, or not at all.

use crate::audit::{self, AuditEntry};
use crate::clock::{after, now};
use crate::connection::Connection;
use crate::counts;
use crate::error::{StoreError, StoreResult};
use crate::events::{self, Step};
use crate::failpoint::Failpoint;
use crate::files::{self, NewFile};
use crate::idempotency::{self, IdempotencyClaim};
use crate::ids::{SubmissionId, UserId, stored_as_text};
use crate::pool::{Store, transaction};
use crate::schema::{runs, submissions};
use crate::status::Status;
use crate::unnamed;
use chrono::NaiveDateTime;
use diesel::deserialize::FromSqlRow;
use diesel::deserialize::{self, FromSql};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::prelude::*;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use email_address::Options;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest address that SMTP can carry (RFC 5321, 4.5.3.1.3, erratum 1690).
const LONGEST_EMAIL: usize = 254;

/// An e-mail address that mail can be sent to. Never printed by `Debug`, so never logged by accident.
#[derive(Clone, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct InvalidEmail;

impl FromStr for EmailAddress {
    type Err = InvalidEmail;
    /// Reads `local@domain.tld`: no display name, no quoted local part, no bare host, at most 254 bytes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let options =
            Options::default().with_required_tld().without_display_text().without_domain_literal();
        let quoted = text.starts_with('"');
        if text.len() > LONGEST_EMAIL || quoted || text.contains(char::is_control) {
            return Err(InvalidEmail);
        }
        email_address::EmailAddress::parse_with_options(text, options)
            .map(|_| Self(text.to_owned()))
            .map_err(|_| InvalidEmail)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

stored_as_text!(EmailAddress);

/// Consent as it was given: to which version of the text. The time is the record's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Names the text that the patient agreed to.
    pub version: String,
}

/// A submission that was checked and may be stored.
#[derive(Debug, Clone)]
pub struct NewSubmission {
    /// Its name.
    pub id: SubmissionId,
    /// Where the result goes.
    pub email: EmailAddress,
    /// What the patient wrote; may be empty.
    pub comments: String,
    /// What the patient agreed to.
    pub consent: Consent,
    /// Its files, whose bytes are stored already.
    pub files: Vec<NewFile>,
    /// How long the sweeper leaves the first run to whoever stored it.
    pub start_grace: Duration,
    /// The account that sent it, where there is one.
    pub submitted_by: Option<UserId>,
    /// The line of the audit about that; what nobody we know sends is its own record.
    pub line: Option<AuditEntry>,
}

/// A stored submission.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = submissions)]
pub struct Submission {
    /// Its name.
    pub id: SubmissionId,
    /// Where the result goes.
    pub email: EmailAddress,
    /// What the patient wrote; may be empty.
    pub comments: String,
    /// Where it stands.
    pub status: Status,
    /// Version of the consent text that was agreed to.
    pub consent_version: String,
    /// When consent was given (UTC).
    pub consent_at: NaiveDateTime,
    /// Its newest run.
    pub run_number: i32,
    /// Number of its newest event.
    pub last_event: i32,
    /// Why it failed, as a stable code.
    pub error_code: Option<String>,
    /// Why it failed, for staff.
    pub error_detail: Option<String>,
    /// When it was received (UTC).
    pub created_at: NaiveDateTime,
    /// When anything about it changed last (UTC).
    pub updated_at: NaiveDateTime,
    /// When it reached its present final state (UTC).
    pub finished_at: Option<NaiveDateTime>,
    /// The account that sent it, where there is one.
    pub submitted_by: Option<UserId>,
    /// When staff deleted it (UTC); then it is gone for everybody else.
    pub deleted_at: Option<NaiveDateTime>,
}

impl Store {
    /// Stores a submission with its files, its first run (not yet started), its first event, its line of
    /// the audit and, where the request carried a key, the answer to that key: all or nothing.
    ///
    /// The bytes of its files were announced ([`Store::announce_bytes`]) and stored before.
    ///
    /// Returns `false`, with nothing stored, when the claim on the key was lost to another request.
    ///
    /// # Errors
    /// When the database does not take it; nothing is stored then.
    pub async fn create_submission(
        &self,
        new: &NewSubmission,
        claim: Option<&IdempotencyClaim>,
    ) -> StoreResult<bool> {
        let is_written = AtomicBool::new(false);
        let outcome = transaction!(self, connection => {
            insert(connection, new).await?;
            if let Some(claim) = claim
                && !idempotency::settle(connection, claim, new.id).await?
            {
                return Err(StoreError::Database(diesel::result::Error::RollbackTransaction));
            }
            if let Some(line) = &new.line {
                audit::append(connection, line).await?;
            }
            Failpoint::SubmissionUncommitted.pass().await;
            is_written.store(true, Ordering::Relaxed);
            Ok(())
        });
        match outcome {
            Ok(()) => Ok(true),
            Err(StoreError::Database(diesel::result::Error::RollbackTransaction)) => Ok(false),
            Err(error) if is_written.into_inner() => Err(StoreError::Unclear(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Reads a submission.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn submission(&self, id: SubmissionId) -> StoreResult<Option<Submission>> {
        let mut connection = self.connection().await?;
        let found = submissions::table
            .find(id)
            .select(Submission::as_select())
            .first(&mut connection)
            .await
            .optional()?;
        Ok(found)
    }
}

async fn insert(connection: &mut Connection, new: &NewSubmission) -> StoreResult<()> {
    const FIRST_RUN: i32 = 1;
    diesel::insert_into(submissions::table)
        .values((
            submissions::id.eq(new.id),
            submissions::email.eq(&new.email),
            submissions::comments.eq(&new.comments),
            submissions::status.eq(Status::Pending),
            submissions::consent_version.eq(&new.consent.version),
            submissions::consent_at.eq(now()),
            submissions::run_number.eq(FIRST_RUN),
            submissions::last_event.eq(0),
            submissions::created_at.eq(now()),
            submissions::updated_at.eq(now()),
            submissions::submitted_by.eq(new.submitted_by),
        ))
        .execute(connection)
        .await?;
    let digests: Vec<_> = new.files.iter().map(|file| file.sha256).collect();
    unnamed::name(connection, &digests).await?;
    files::insert(connection, new.id, &new.files).await?;
    diesel::insert_into(runs::table)
        .values((
            runs::submission_id.eq(new.id),
            runs::number.eq(FIRST_RUN),
            runs::start_after.eq(after(new.start_grace)),
            runs::created_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    events::append(connection, new.id, Status::Pending, &[Step::Received]).await?;
    counts::created(connection, new.id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mail_can_be_sent_to() {
        for good in ["a@b.de", "me+x@example.org", "Ünï@exämple.org", " padded@example.org "] {
            assert!(good.parse::<EmailAddress>().is_ok(), "{good}");
        }
        let long = format!("{}@example.org", "a".repeat(250));
        for bad in [
            "",
            "me",
            "me@",
            "@x.org",
            "me@host",
            "a b@x.org",
            "Me <me@x.org>",
            "me@x.org\n",
            &long,
        ] {
            // A trailing line break is padding, everything else must be refused.
            assert_eq!(bad.parse::<EmailAddress>().is_ok(), bad == "me@x.org\n", "{bad:?}");
        }
    }

    #[test]
    fn an_address_does_not_show_in_debug_output() {
        let address: EmailAddress = "me@example.org".parse().expect("valid");
        assert!(!format!("{address:?}").contains("example"));
    }
}
