//! Links in e-mails that open a submission's page on another device. Each link belongs to a delivery, expires, and
//! works once. The worker creates the links, and the API verifies them. The database stores only which links have been
//! used.

use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::{before, now};
use crate::db::connection::Connection;
use crate::db::error::StoreResult;
use crate::db::ids::{DeliveryId, SubmissionId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{deliveries, submissions};
use crate::db::utc_time::UtcTime;
use crate::deliveries::model::{DeliveryKind, DeliveryStatus, NO_RUN};
use crate::keyring::Keyring;
use crate::mac_key::MacKey;
use crate::submissions::row::lock_not_deleted;
use diesel::dsl::max;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// Prevents somebody who has an old link from filling the patient's inbox.
const MAX_NEW_LINKS_PER_DAY: i64 = 3;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone)]
pub struct EmailLinkKey(MacKey);

/// What a link's code contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmailLinkCode {
    pub delivery: DeliveryId,
    /// Unix time in seconds.
    pub expires: i64,
}

impl EmailLinkKey {
    pub fn new(secrets: &Keyring) -> EmailLinkKey {
        EmailLinkKey(MacKey::derive(secrets, "diagflow e-mail link v1"))
    }

    /// Returns the path of the link.
    pub fn path(&self, submission: SubmissionId, code: EmailLinkCode) -> String {
        format!("/s/{submission}/open/{}", self.sign(code))
    }

    /// Returns the code as text, such as `{delivery id}.{expiry}.{signature}`. The same delivery and expiry have the
    /// same text, so a repeated attempt to send an e-mail does not create another link.
    fn sign(&self, code: EmailLinkCode) -> String {
        let message = message(code);
        let signature = hex::encode(self.0.tag(&message));
        format!("{message}.{signature}")
    }

    /// Returns the content of a code that was signed with this key. The link may have expired.
    pub fn verify(&self, text: &str) -> Option<EmailLinkCode> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (delivery, expires) = signed.split_once('.')?;
        let code =
            EmailLinkCode { delivery: delivery.parse().ok()?, expires: expires.parse().ok()? };
        let is_signed = self.0.verify(message(code), &hex::decode(signature).ok()?);
        is_signed.then_some(code)
    }
}

fn message(code: EmailLinkCode) -> String {
    format!("{}.{}", code.delivery, code.expires)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailLinkState {
    Unused,
    /// The link was used, or disabled because it was sent to a wrong address.
    Used,
    /// The submission was erased.
    Erased,
    /// The e-mail does not exist, the submission was deleted, or its access token was revoked.
    NotFound,
}

impl Store {
    pub async fn email_link_state(
        &self,
        submission: SubmissionId,
        delivery: DeliveryId,
    ) -> StoreResult<EmailLinkState> {
        link_state(&mut *self.connection().await?, submission, delivery).await
    }

    /// Marks an unused link as used, and returns its state before that. Of several concurrent calls, only one returns
    /// [`EmailLinkState::Unused`].
    pub async fn use_email_link(
        &self,
        submission: SubmissionId,
        delivery: DeliveryId,
        entry: &NewAuditEntry,
    ) -> StoreResult<EmailLinkState> {
        transaction!(self, connection => {
            // The lock also prevents staff from revoking the token at the same time.
            lock_not_deleted(connection, submission).await?;
            let state = link_state(connection, submission, delivery).await?;
            if state != EmailLinkState::Unused {
                return Ok(state);
            }
            let unused =
                deliveries::table.find(delivery).filter(deliveries::link_used_at.is_null());
            let marked = diesel::update(unused)
                .set(deliveries::link_used_at.eq(now().nullable()))
                .execute(connection)
                .await?;
            if marked == 0 {
                return Ok(EmailLinkState::Used);
            }
            log::append(connection, entry).await?;
            Ok(EmailLinkState::Unused)
        })
    }

    /// Plans an e-mail with a new link to the submission's address. `delivery` is the e-mail with the old link. Returns
    /// whether an e-mail was planned.
    pub async fn request_email_link(
        &self,
        submission: SubmissionId,
        delivery: DeliveryId,
        entry: &NewAuditEntry,
    ) -> StoreResult<bool> {
        transaction!(self, connection => {
            lock_not_deleted(connection, submission).await?;
            let state = link_state(connection, submission, delivery).await?;
            let exists = matches!(state, EmailLinkState::Unused | EmailLinkState::Used);
            if !exists || count_new_links(connection, submission).await? >= MAX_NEW_LINKS_PER_DAY {
                return Ok(false);
            }
            let planned = plan_link(connection, submission).await?;
            log::append(connection, &entry.clone().with("delivery", planned.to_string())).await?;
            Ok(true)
        })
    }
}

/// Disables the links in all e-mails that were sent or may have been sent, because their address was wrong. The caller
/// must hold the submission's lock.
pub(crate) async fn disable_links(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<()> {
    diesel::update(
        deliveries::table
            .filter(deliveries::submission_id.eq(submission))
            .filter(deliveries::status.ne(DeliveryStatus::Planned))
            .filter(deliveries::link_used_at.is_null()),
    )
    .set(deliveries::link_used_at.eq(now().nullable()))
    .execute(connection)
    .await?;
    Ok(())
}

async fn link_state(
    connection: &mut Connection,
    submission: SubmissionId,
    delivery: DeliveryId,
) -> StoreResult<EmailLinkState> {
    type Times = Option<UtcTime>;
    let found: Option<(Times, Times, Times, Times)> = deliveries::table
        .inner_join(submissions::table.on(submissions::id.eq(deliveries::submission_id)))
        .filter(deliveries::id.eq(delivery))
        .filter(submissions::id.eq(submission))
        .select((
            submissions::token_revoked_at,
            submissions::erased_at,
            submissions::deleted_at,
            deliveries::link_used_at,
        ))
        .first(connection)
        .await
        .optional()?;
    Ok(match found {
        None | Some((Some(_), ..)) => EmailLinkState::NotFound,
        Some((None, Some(_), ..)) => EmailLinkState::Erased,
        Some((None, None, Some(_), _)) => EmailLinkState::NotFound,
        Some((None, None, None, Some(_))) => EmailLinkState::Used,
        Some((None, None, None, None)) => EmailLinkState::Unused,
    })
}

async fn count_new_links(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<i64> {
    let count = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .filter(deliveries::run_number.eq(NO_RUN))
        .filter(deliveries::kind.eq(DeliveryKind::Link))
        .filter(deliveries::created_at.gt(before(DAY)))
        .count()
        .get_result(connection)
        .await?;
    Ok(count)
}

async fn plan_link(
    connection: &mut Connection,
    submission: SubmissionId,
) -> StoreResult<DeliveryId> {
    let newest: Option<i32> = deliveries::table
        .filter(deliveries::submission_id.eq(submission))
        .filter(deliveries::run_number.eq(NO_RUN))
        .filter(deliveries::kind.eq(DeliveryKind::Link))
        .select(max(deliveries::copy))
        .first(connection)
        .await?;
    let id = DeliveryId::new();
    diesel::insert_into(deliveries::table)
        .values((
            deliveries::id.eq(id),
            deliveries::submission_id.eq(submission),
            deliveries::run_number.eq(NO_RUN),
            deliveries::kind.eq(DeliveryKind::Link),
            deliveries::status.eq(DeliveryStatus::Planned),
            deliveries::attempts.eq(0),
            deliveries::created_at.eq(now()),
            deliveries::copy.eq(newest.map_or(0, |newest| newest + 1)),
            deliveries::start_after.eq(now().nullable()),
        ))
        .execute(connection)
        .await?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_valid_only_as_it_was_signed() {
        let key = EmailLinkKey::new(&"a secret".into());
        let code = EmailLinkCode { delivery: DeliveryId::new(), expires: 1000 };
        let text = key.sign(code);
        assert_eq!(key.sign(code), text);
        assert_eq!(key.verify(&text), Some(code));
        assert_eq!(EmailLinkKey::new(&"another".into()).verify(&text), None);
        let later = text.replace(".1000.", ".1001.");
        let other = text.replace(&code.delivery.to_string(), &DeliveryId::new().to_string());
        for wrong in ["", "..", &later, &other, &text[1..], &text[..text.len() - 2]] {
            assert_eq!(key.verify(wrong), None, "{wrong:?}");
        }
    }
}
