//! API keys: what programs sign in with. A key is alive while it was not revoked, did not expire, and its
//! account is not disabled.

use crate::clock::{before, now};
use crate::error::StoreResult;
use crate::ids::{ApiKeyId, Sha256};
use crate::pool::Store;
use crate::schema::{api_keys, users};
use crate::users::User;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;

/// A key that was used within this time is not written down as used again.
const USE_NOTED_EVERY: Duration = Duration::from_secs(60);

impl Store {
    /// Whose key this is, while it is alive, and the digest of its secret, which the caller compares.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn use_api_key(&self, key: ApiKeyId) -> StoreResult<Option<(User, Sha256)>> {
        let mut connection = self.connection().await?;
        let found = api_keys::table
            .inner_join(users::table)
            .filter(api_keys::id.eq(key))
            .filter(api_keys::revoked_at.is_null())
            .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(now().nullable())))
            .filter(users::disabled_at.is_null())
            .select((User::as_select(), api_keys::secret))
            .first(&mut connection)
            .await
            .optional()?;
        if found.is_some() {
            let noted = before(USE_NOTED_EVERY).nullable();
            let stale = api_keys::used_at.is_null().or(api_keys::used_at.lt(noted));
            diesel::update(api_keys::table.find(key).filter(stale))
                .set(api_keys::used_at.eq(now().nullable()))
                .execute(&mut connection)
                .await?;
        }
        Ok(found)
    }

    /// Whose key this is, while it is alive; without using it. For streams that stay open.
    ///
    /// # Errors
    /// When the database does not answer.
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
