//! Account administration. A change that would leave no enabled admin is rejected within its transaction.

use crate::accounts::sessions::{self, EndReason};
use crate::accounts::users::{Role, User};
use crate::audit::entry::UNCHANGED;
use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::now;
use crate::db::connection::Connection;
use crate::db::email_address::EmailAddress;
use crate::db::error::StoreResult;
use crate::db::ids::{SessionId, UserId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{api_keys, users};
use crate::db::sql_text::contains_pattern;
use crate::db::utc_time::UtcTime;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::collections::HashMap;

/// Fields that are `None` match every account.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// Part of the e-mail address or name, ignoring case.
    pub search: Option<String>,
    pub role: Option<Role>,
    pub disabled: Option<bool>,
}

#[derive(Debug, Clone)]
pub struct UserPage {
    pub users: Vec<User>,
    pub total: i64,
}

/// Fields that are `None` are left unchanged.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    pub email: Option<EmailAddress>,
    pub name: Option<String>,
    pub role: Option<Role>,
    pub disabled: Option<bool>,
    pub password_hash: Option<String>,
}

impl UserChange {
    fn alters(&self, user: &User) -> bool {
        let email = self.email.as_ref().map(|email| email.as_str().to_lowercase());
        email.is_some_and(|email| email != user.email.as_str())
            || self.name.as_ref().is_some_and(|name| *name != user.name)
            || self.role.is_some_and(|role| role != user.role)
            || self.disabled.is_some_and(|disabled| disabled != user.disabled_at.is_some())
            || self.password_hash.is_some()
    }
}

#[derive(Debug, Clone)]
pub struct NewPassword {
    pub user: UserId,
    /// The session in which the user sets the password. It stays open.
    pub session: SessionId,
    /// Time at which the password that the user entered as the current one was set.
    pub known_since: Option<UtcTime>,
    pub hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChangeOutcome {
    Applied(User),
    NotFound,
    LastAdmin,
    EmailTaken,
    PasswordMissing,
    PasswordForbidden,
}

impl UserFilter {
    fn query(&self) -> users::BoxedQuery<'_, Mysql> {
        let mut query = users::table.into_boxed();
        if let Some(search) = self.search.as_deref().map(str::trim).filter(|text| !text.is_empty())
        {
            let in_email = users::email.like(contains_pattern(&search.to_lowercase())).escape('!');
            let in_name = users::name.like(contains_pattern(search)).escape('!');
            query = query.filter(in_email.or(in_name));
        }
        if let Some(role) = self.role {
            query = query.filter(users::role.eq(role));
        }
        match self.disabled {
            Some(true) => query.filter(users::disabled_at.is_not_null()),
            Some(false) => query.filter(users::disabled_at.is_null()),
            None => query,
        }
    }
}

impl Store {
    pub async fn users(
        &self,
        filter: &UserFilter,
        offset: i64,
        limit: i64,
    ) -> StoreResult<UserPage> {
        let mut connection = self.connection().await?;
        let total = filter.query().count().get_result(&mut connection).await?;
        let users = filter
            .query()
            .select(User::as_select())
            .order((users::created_at.desc(), users::id.desc()))
            .offset(offset)
            .limit(limit)
            .load(&mut connection)
            .await?;
        Ok(UserPage { users, total })
    }

    pub async fn user(&self, id: UserId) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        let found =
            users::table.find(id).select(User::as_select()).first(&mut connection).await.optional();
        Ok(found?)
    }

    /// Returns the names of accounts. Unknown accounts are omitted.
    pub async fn user_names(&self, ids: &[UserId]) -> StoreResult<HashMap<UserId, String>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let names: Vec<(UserId, String)> = users::table
            .filter(users::id.eq_any(ids))
            .select((users::id, users::name))
            .load(&mut self.connection().await?)
            .await?;
        Ok(names.into_iter().collect())
    }

    pub async fn user_by_email(&self, email: &str) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        let found = users::table
            .filter(users::email.eq(email.trim().to_lowercase()))
            .select(User::as_select())
            .first(&mut connection)
            .await
            .optional()?;
        Ok(found)
    }

    /// Changes an account. Ends its sessions if it is disabled, gets a new password, or becomes or stops being a
    /// service account. Revokes its API keys if it stops being a service account. If the e-mail address, role or state
    /// changes, adds the previous value to the audit entry.
    pub async fn change_user(
        &self,
        id: UserId,
        change: &UserChange,
        entry: &NewAuditEntry,
    ) -> StoreResult<UserChangeOutcome> {
        let changed = transaction!(self, connection => {
            Ok(match apply(connection, id, change).await? {
                Ok((before, now)) => {
                    let same = !change.alters(&before);
                    log::append(connection, &change_entry(entry, &before, &now, same)).await?;
                    UserChangeOutcome::Applied(now)
                }
                Err(refused) => refused,
            })
        });
        match changed {
            Err(error) if error.is_duplicate() => Ok(UserChangeOutcome::EmailTaken),
            changed => changed,
        }
    }

    /// Sets a person's password and ends all of the account's other sessions. Returns `false` and changes nothing if
    /// the session has ended, or if the password has been changed since the user entered the current one.
    pub async fn set_password(
        &self,
        new: &NewPassword,
        entry: &NewAuditEntry,
    ) -> StoreResult<bool> {
        transaction!(self, connection => {
            let account = users::table
                .find(new.user)
                .filter(users::disabled_at.is_null())
                .filter(users::role.ne(Role::Service))
                .select(users::password_changed_at)
                .for_update();
            let set: Option<Option<UtcTime>> = account.first(connection).await.optional()?;
            let is_current = set == Some(new.known_since);
            if !is_current || !sessions::lock_active(connection, new.user, new.session).await? {
                return Ok(false);
            }
            diesel::update(users::table.find(new.user))
                .set((
                    users::password_hash.eq(&new.hash),
                    users::password_changed_at.eq(now().nullable()),
                    users::updated_at.eq(now()),
                ))
                .execute(connection)
                .await?;
            let (others, reason) = (Some(new.session), EndReason::PasswordChanged);
            let ended = sessions::end_all(connection, new.user, others, reason).await?;
            log::append(connection, &entry.clone().with("sessions_ended", ended)).await?;
            Ok(true)
        })
    }
}

/// Locks the rows of all enabled admins in a fixed order. If two transactions each remove one of the last two admins,
/// the second transaction waits for the first and then sees its change.
async fn lock_admins(connection: &mut Connection) -> StoreResult<Vec<UserId>> {
    let admins = users::table
        .filter(users::role.eq(Role::Admin))
        .filter(users::disabled_at.is_null())
        .order(users::id)
        .select(users::id)
        .for_update()
        .load(connection)
        .await?;
    Ok(admins)
}

fn change_entry(entry: &NewAuditEntry, before: &User, now: &User, same: bool) -> NewAuditEntry {
    let mut entry = entry.clone();
    if same {
        return entry.with_result(UNCHANGED);
    }
    if before.email != now.email {
        entry = entry.with("email_before", before.email.as_str());
    }
    if before.role != now.role {
        entry = entry.with("role_before", before.role.to_string());
    }
    let [was_enabled, is_enabled] = [before, now].map(|user| user.disabled_at.is_none());
    if was_enabled != is_enabled {
        entry = entry.with("enabled_before", was_enabled);
    }
    entry
}

async fn apply(
    connection: &mut Connection,
    id: UserId,
    change: &UserChange,
) -> StoreResult<Result<(User, User), UserChangeOutcome>> {
    let may_remove =
        change.disabled == Some(true) || change.role.is_some_and(|role| role != Role::Admin);
    let admins = if may_remove { lock_admins(connection).await? } else { Vec::new() };
    let found: Option<(User, Option<String>)> = users::table
        .find(id)
        .select((User::as_select(), users::password_hash))
        .for_update()
        .first(connection)
        .await
        .optional()?;
    let Some((user, password_hash)) = found else { return Ok(Err(UserChangeOutcome::NotFound)) };
    if may_remove && admins == [id] {
        return Ok(Err(UserChangeOutcome::LastAdmin));
    }
    let role = change.role.unwrap_or(user.role);
    let is_program = role == Role::Service;
    if is_program && change.password_hash.is_some() {
        return Ok(Err(UserChangeOutcome::PasswordForbidden));
    }
    if !is_program && change.password_hash.is_none() && password_hash.is_none() {
        return Ok(Err(UserChangeOutcome::PasswordMissing));
    }
    if !change.alters(&user) {
        return Ok(Ok((user.clone(), user)));
    }
    write(connection, &user, change, role).await?;
    let was_program = user.role == Role::Service;
    if was_program && !is_program {
        revoke_keys(connection, id).await?;
    }
    if let Some(reason) = session_end_reason(change, was_program != is_program) {
        sessions::end_all(connection, id, None, reason).await?;
    }
    let now_is = users::table.find(id).select(User::as_select()).first(connection).await?;
    Ok(Ok((user, now_is)))
}

fn session_end_reason(change: &UserChange, kind_changed: bool) -> Option<EndReason> {
    if change.disabled == Some(true) {
        Some(EndReason::UserDisabled)
    } else if change.password_hash.is_some() {
        Some(EndReason::PasswordChanged)
    } else {
        kind_changed.then_some(EndReason::RoleChanged)
    }
}

async fn write(
    connection: &mut Connection,
    user: &User,
    change: &UserChange,
    role: Role,
) -> StoreResult<()> {
    let email = change.email.as_ref().unwrap_or(&user.email).as_str().to_lowercase();
    let name = change.name.as_ref().unwrap_or(&user.name);
    let account = users::table.find(user.id);
    diesel::update(account)
        .set((
            users::email.eq(email),
            users::name.eq(name),
            users::role.eq(role),
            users::updated_at.eq(now()),
        ))
        .execute(connection)
        .await?;
    match change.disabled {
        Some(true) if user.disabled_at.is_none() => {
            let disabled = users::disabled_at.eq(now().nullable());
            diesel::update(account).set(disabled).execute(connection).await?;
        }
        Some(false) => {
            let enabled = users::disabled_at.eq(None::<UtcTime>);
            diesel::update(account).set(enabled).execute(connection).await?;
        }
        _ => {}
    }
    if let Some(hash) = &change.password_hash {
        let changed_at = users::password_changed_at.eq(now().nullable());
        diesel::update(account)
            .set((users::password_hash.eq(hash), changed_at))
            .execute(connection)
            .await?;
    } else if role == Role::Service {
        let none = (
            users::password_hash.eq(None::<String>),
            users::password_changed_at.eq(None::<UtcTime>),
        );
        diesel::update(account).set(none).execute(connection).await?;
    }
    Ok(())
}

async fn revoke_keys(connection: &mut Connection, user: UserId) -> StoreResult<()> {
    diesel::update(
        api_keys::table.filter(api_keys::user_id.eq(user)).filter(api_keys::revoked_at.is_null()),
    )
    .set(api_keys::revoked_at.eq(now().nullable()))
    .execute(connection)
    .await?;
    Ok(())
}
