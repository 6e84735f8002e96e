//! Accounts of people and programs: users, sessions, API keys, and the throttling of sign-ins.

use std::time::Duration;

pub(crate) mod api_keys;
pub(crate) mod sessions;
pub(crate) mod throttles;
pub(crate) mod user_admin;
pub(crate) mod users;

/// Minimum time between two updates of the `used_at` of a session or key.
const USED_AT_PRECISION: Duration = Duration::from_secs(60);
