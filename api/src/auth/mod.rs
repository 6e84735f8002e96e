//! Sign-in: who calls, and what they may do.
//!
//! A request of staff or of a program passes [`guard`], which finds the [`Caller`] from what the request
//! brings ([`credentials`]) and asks the one table ([`permissions`]). Handlers get the caller, never a token.

mod caller;
pub(crate) mod cookies;
mod credentials;
pub(crate) mod device;
mod guard;
mod hmac_provider;
mod jwt;
pub(crate) mod password;
mod permissions;
pub(crate) mod refresh;
mod refusals;
mod secrets;
pub(crate) mod throttle;
mod watch;

pub(crate) use caller::{Caller, Via, somebody_did};
pub(crate) use credentials::{API_KEY_PREFIX, NotLetIn, authenticate, bearer};
pub(crate) use guard::{guarded, recognise};
pub(crate) use jwt::TokenSigner;
pub(crate) use permissions::Permission;
pub(crate) use refusals::{Strangers, Target, note, on_file, outsider_did, refuse};
pub(crate) use secrets::Secret;
pub(crate) use watch::{Watch, still_may};
