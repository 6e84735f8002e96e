//! Corrects a submission's e-mail address, and sets its note and assignee.

use crate::accounts::users::Role;
use crate::audit::entry::UNCHANGED;
use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::email_address::EmailAddress;
use crate::db::error::StoreResult;
use crate::db::ids::{Sha256, SubmissionId, UserId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{submissions, users};
use crate::deliveries::{attempts, email_link};
use crate::staff::resend::{ResendOutcome, resend_to_new_address};
use crate::submissions::row::{Submission, lock_not_deleted};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

/// Fields that are `None` are left unchanged, and `Some(None)` clears a field.
#[derive(Debug, Clone, Default)]
pub struct SubmissionChange {
    pub email: Option<EmailAddress>,
    /// Whether to send the latest e-mail to the new address even if it has already been sent.
    pub resend: bool,
    /// Note for staff, at most [`Submission::MAX_NOTE_LENGTH`] characters.
    pub note: Option<Option<String>>,
    pub assignee: Option<Option<UserId>>,
}

#[derive(Debug, Clone)]
pub struct UpdatedSubmission {
    pub submission: Submission,
    /// `None` if no resend was requested, or if no e-mail is due yet.
    pub resent: Option<ResendOutcome>,
}

#[derive(Debug, Clone)]
pub enum UpdateOutcome {
    Updated(Box<UpdatedSubmission>),
    /// Somebody else has changed the submission in the meantime.
    RevisionChanged,
    /// The assignee is not an enabled account with an allowed role.
    AssigneeNotFound,
    NotFound,
}

#[derive(Default, AsChangeset)]
#[diesel(table_name = submissions)]
struct Columns<'a> {
    email: Option<&'a EmailAddress>,
    recipient: Option<Sha256>,
    original_email: Option<&'a EmailAddress>,
    note: Option<Option<&'a str>>,
    assignee: Option<Option<UserId>>,
}

impl<'a> Columns<'a> {
    fn of(change: &'a SubmissionChange, before: &'a Submission) -> Self {
        let email = change.email.as_ref().filter(|email| **email != before.email);
        let is_first = email.is_some() && before.original_email.is_none();
        let note = change.note.as_ref().filter(|note| **note != before.note);
        Self {
            email,
            recipient: email.map(EmailAddress::recipient),
            original_email: is_first.then_some(&before.email),
            note: note.map(Option::as_deref),
            assignee: change.assignee.filter(|assignee| *assignee != before.assignee),
        }
    }

    fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    fn names(&self) -> Vec<&'static str> {
        let columns = [
            ("email", self.email.is_some()),
            ("note", self.note.is_some()),
            ("assignee", self.assignee.is_some()),
        ];
        columns.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
    }

    /// The audit log records who was assigned, but neither the note nor the patient's complete address.
    fn annotate(&self, entry: NewAuditEntry, before: &Submission) -> NewAuditEntry {
        let mut entry = entry.with("fields", self.names());
        if let Some(email) = self.email {
            let addresses = json!({"from": masked(&before.email), "to": masked(email)});
            entry = entry.with("email", addresses);
        }
        if let Some(assignee) = self.assignee {
            let assignee = assignee.map_or(Value::Null, |id| id.to_string().into());
            entry = entry.with("assignee", assignee);
        }
        entry
    }
}

fn masked(address: &EmailAddress) -> String {
    let (local_part, domain) = address.as_str().rsplit_once('@').unwrap_or_default();
    format!("{}…@{domain}", local_part.chars().next().unwrap_or_default())
}

impl Store {
    /// Changes a submission if its revision is `expected`. If `expected` is `None`, overwrites changes made by others.
    /// The assignee must be an enabled account with one of the `assignable` roles. E-mails that have not been sent yet
    /// are sent to the new address.
    pub async fn update_submission(
        &self,
        submission: SubmissionId,
        expected: Option<i32>,
        change: &SubmissionChange,
        assignable: &[Role],
        entry: &NewAuditEntry,
    ) -> StoreResult<UpdateOutcome> {
        transaction!(self, connection => {
            let Some((status, _)) = lock_not_deleted(connection, submission).await? else {
                return Ok(UpdateOutcome::NotFound);
            };
            let before = read(connection, submission).await?;
            if expected.is_some_and(|expected| expected != before.revision) {
                return Ok(UpdateOutcome::RevisionChanged);
            }
            let columns = Columns::of(change, &before);
            if let Some(Some(assignee)) = columns.assignee
                && !is_assignable(connection, assignee, assignable).await?
            {
                return Ok(UpdateOutcome::AssigneeNotFound);
            }
            write(connection, submission, &columns).await?;
            let resent = match change.resend {
                true => resend_to_new_address(connection, submission, status).await?,
                false => None,
            };
            let submission = read(connection, submission).await?;
            let entry = columns.annotate(entry.clone(), &before);
            log::append(connection, &with_outcome(entry, change, resent, columns.is_empty())).await?;
            Ok(UpdateOutcome::Updated(Box::new(UpdatedSubmission { submission, resent })))
        })
    }
}

async fn read(connection: &mut Connection, id: SubmissionId) -> StoreResult<Submission> {
    Ok(submissions::table.find(id).select(Submission::as_select()).first(connection).await?)
}

async fn is_assignable(
    connection: &mut Connection,
    account: UserId,
    roles: &[Role],
) -> StoreResult<bool> {
    let found: i64 = users::table
        .find(account)
        .filter(users::disabled_at.is_null())
        .filter(users::role.eq_any(roles))
        .count()
        .get_result(connection)
        .await?;
    Ok(found == 1)
}

async fn write(
    connection: &mut Connection,
    submission: SubmissionId,
    columns: &Columns<'_>,
) -> StoreResult<()> {
    if columns.is_empty() {
        return Ok(());
    }
    diesel::update(submissions::table.find(submission))
        .set((
            columns,
            submissions::revision.eq(submissions::revision + 1),
            submissions::updated_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    if columns.email.is_some() {
        attempts::restart_unclaimed(connection, submission).await?;
        email_link::disable_links(connection, submission).await?;
    }
    Ok(())
}

fn with_outcome(
    entry: NewAuditEntry,
    change: &SubmissionChange,
    resent: Option<ResendOutcome>,
    is_unchanged: bool,
) -> NewAuditEntry {
    let entry = match resent {
        Some(ResendOutcome::Planned(copy)) => return entry.with("copy", copy.to_string()),
        Some(ResendOutcome::InProgress(delivery)) => entry.with("delivery", delivery.to_string()),
        _ if change.resend => entry.with("resend", true),
        _ => entry,
    };
    if is_unchanged { entry.with_result(UNCHANGED) } else { entry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_shows_only_its_first_character_and_its_domain() {
        for (address, expected) in [
            ("ana@example.org", "a…@example.org"),
            ("ünal@example.org", "ü…@example.org"),
            ("a@example.org", "a…@example.org"),
        ] {
            assert_eq!(masked(&address.parse().expect("an address")), expected);
        }
    }
}
