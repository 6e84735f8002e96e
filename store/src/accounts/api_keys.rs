//! API keys, which programs use to sign in. A key is valid until it is revoked or expires, or its account is disabled.

use crate::accounts::USED_AT_PRECISION;
use crate::accounts::users::{Role, User};
use crate::audit::log::{self, NewAuditEntry};
use crate::db::clock::{before, now};
use crate::db::error::StoreResult;
use crate::db::ids::{ApiKeyId, Sha256, UserId};
use crate::db::pool::{Store, transaction};
use crate::db::schema::{api_keys, users};
use crate::db::utc_time::UtcTime;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub name: String,
    pub created_at: UtcTime,
    pub used_at: Option<UtcTime>,
    pub expires_at: Option<UtcTime>,
    pub revoked_at: Option<UtcTime>,
}

#[derive(Debug, Clone)]
pub struct NewApiKey {
    pub id: ApiKeyId,
    pub user: UserId,
    pub name: String,
    pub secret: Sha256,
    pub expires_at: Option<UtcTime>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiKeyOwner {
    Valid(User),
    /// The secret is correct, but the key has been revoked or has expired, or its account is disabled.
    Invalid(User),
}

impl Store {
    /// Creates an API key. Returns `None` and changes nothing unless the account is an enabled service account.
    pub async fn create_api_key(
        &self,
        new: &NewApiKey,
        entry: &NewAuditEntry,
    ) -> StoreResult<Option<ApiKey>> {
        transaction!(self, connection => {
            let program: Option<UserId> = users::table
                .find(new.user)
                .filter(users::role.eq(Role::Service))
                .filter(users::disabled_at.is_null())
                .select(users::id)
                .for_update()
                .first(connection)
                .await
                .optional()?;
            if program.is_none() {
                return Ok(None);
            }
            diesel::insert_into(api_keys::table)
                .values((
                    api_keys::id.eq(new.id),
                    api_keys::user_id.eq(new.user),
                    api_keys::name.eq(&new.name),
                    api_keys::secret.eq(new.secret),
                    api_keys::created_at.eq(now()),
                    api_keys::expires_at.eq(new.expires_at),
                ))
                .execute(connection)
                .await?;
            let created = api_keys::table.find(new.id).select(ApiKey::as_select());
            let created = created.first(connection).await?;
            log::append(connection, entry).await?;
            Ok(Some(created))
        })
    }

    pub async fn user_api_keys(&self, user: UserId) -> StoreResult<Vec<ApiKey>> {
        let mut connection = self.connection().await?;
        let found = api_keys::table
            .filter(api_keys::user_id.eq(user))
            .order((api_keys::created_at.desc(), api_keys::id.desc()))
            .select(ApiKey::as_select())
            .load(&mut connection)
            .await?;
        Ok(found)
    }

    /// Returns `false` and changes nothing if the account does not have this key or the key has already been revoked.
    pub async fn revoke_api_key(
        &self,
        user: UserId,
        key: ApiKeyId,
        entry: &NewAuditEntry,
    ) -> StoreResult<bool> {
        transaction!(self, connection => {
            let good = api_keys::table.find(key).filter(api_keys::user_id.eq(user));
            let revoked = diesel::update(good.filter(api_keys::revoked_at.is_null()))
                .set(api_keys::revoked_at.eq(now().nullable()))
                .execute(connection)
                .await?;
            if revoked == 1 {
                log::append(connection, entry).await?;
            }
            Ok(revoked == 1)
        })
    }

    /// Returns a key's owner if `secret` is the digest of the key's secret. Updates `used_at` if the key is valid.
    pub async fn authenticate_api_key(
        &self,
        key: ApiKeyId,
        secret: Sha256,
    ) -> StoreResult<Option<ApiKeyOwner>> {
        let mut connection = self.connection().await?;
        let expires = api_keys::expires_at.is_null().or(api_keys::expires_at.gt(now().nullable()));
        let active = api_keys::revoked_at.is_null().and(users::disabled_at.is_null());
        let found: Option<(User, Option<bool>)> = api_keys::table
            .inner_join(users::table)
            .filter(api_keys::id.eq(key))
            // Digests need not be compared in constant time because a partial match reveals nothing about the secret.
            .filter(api_keys::secret.eq(secret))
            .select((User::as_select(), active.and(expires)))
            .first(&mut connection)
            .await
            .optional()?;
        let Some((user, is_alive)) = found else { return Ok(None) };
        if is_alive != Some(true) {
            return Ok(Some(ApiKeyOwner::Invalid(user)));
        }
        let recently = before(USED_AT_PRECISION).nullable();
        let stale = api_keys::used_at.is_null().or(api_keys::used_at.lt(recently));
        diesel::update(api_keys::table.find(key).filter(stale))
            .set(api_keys::used_at.eq(now().nullable()))
            .execute(&mut connection)
            .await?;
        Ok(Some(ApiKeyOwner::Valid(user)))
    }

    /// Does not update `used_at` because open event streams check their API key repeatedly.
    pub async fn api_key_user(&self, key: ApiKeyId) -> StoreResult<Option<User>> {
        let mut connection = self.connection().await?;
        let found = api_keys::table
            .inner_join(users::table)
            .filter(api_keys::id.eq(key))
            .filter(api_keys::revoked_at.is_null())
            .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(now().nullable())))
            .filter(users::disabled_at.is_null())
            .select(User::as_select())
            .first(&mut connection)
            .await
            .optional()?;
        Ok(found)
    }
}
