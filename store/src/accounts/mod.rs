//! Accounts of people and programs: users, sessions, API keys, and the throttling of sign-ins.

use std::time::Duration;

pub(crate) mod api_keys;
pub(crate) mod sessions;
pub(crate) mod throttles;
pub(crate) mod user_admin;
pub(crate) mod users;

/// `used_at` of a session or key is written at most once in this time.
const USED_AT_PRECISION: Duration = Duration::from_secs(60);
