//! `/api/v1/auth`: sign in, stay signed in, sign out.

pub(super) mod sign_in;
pub(super) mod sign_out;
