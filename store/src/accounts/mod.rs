//! Accounts of people and programs: users, sessions, API keys, and the throttling of sign-ins.

pub(crate) mod api_keys;
pub(crate) mod sessions;
pub(crate) mod throttles;
pub(crate) mod user_admin;
pub(crate) mod users;
