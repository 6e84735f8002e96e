//! Accounts for people and programs: users, sessions, API keys and sign-in throttling.

use std::time::Duration;

pub(crate) mod api_keys;
pub(crate) mod sessions;
pub(crate) mod throttles;
pub(crate) mod user_admin;
pub(crate) mod users;

/// Minimum interval between updates to `used_at` for the same session or key.
const USED_AT_PRECISION: Duration = Duration::from_secs(60);
