//! Accounts and permissions: who may do what, and what is audited.

mod access;
mod all_events;
mod api_keys;
mod audit;
mod audit_entries;
mod cancel;
mod concurrent_actions;
mod cookie_sessions;
mod deletion;
mod denied_access;
mod detail;
mod export;
mod full_text;
mod history;
mod listing;
mod my_submissions;
mod passwords;
mod rate_limits;
mod resend;
mod retry;
mod sessions;
mod sign_in;
mod temporal_ui;
mod throttle;
mod user_command;
mod users;
