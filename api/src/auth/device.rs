//! Device cookies (OWASP) identify devices that have signed in to an account, so failed attempts by strangers do not
//! lock these devices out. A device cookie grants no access and does not reveal the account; it only causes attempts
//! from the device to be counted separately. Each cookie is bound to the account's e-mail address, so it is useless for
//! any other account.

use crate::auth::cookies;
use crate::auth::cookies::{CookieKind, DEVICE};
use crate::settings::ApiSettings;
use axum_extra::extract::cookie::{Cookie, CookieJar};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::Utc;
use diagflow_store::{Keyring, MacKey};

/// Lifetime of a device cookie: one year, in seconds.
const LIFETIME: i64 = 365 * 24 * 60 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device([u8; 16]);

impl Device {
    fn new() -> Self {
        let mut random = [0; 16];
        getrandom::fill(&mut random).expect("the operating system provides random numbers");
        Self(random)
    }

    pub(crate) fn id(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

pub(crate) struct DeviceCookies(MacKey);

impl DeviceCookies {
    pub(crate) fn new(secrets: &Keyring) -> Self {
        Self(MacKey::derive(secrets, "diagflow device v1"))
    }

    /// Returns the cookie to set after signing in with this address. `now` is a Unix timestamp in seconds.
    fn issue(&self, device: Device, email: &str, now: i64) -> String {
        let issued_at = now.to_be_bytes();
        let tag = self.0.tag(message(device, issued_at, email));
        BASE64_URL_SAFE_NO_PAD.encode([&device.0[..], &issued_at, &tag].concat())
    }

    /// Returns the device if it signed in with this address less than [`LIFETIME`] ago.
    fn verify(&self, text: &str, email: &str, now: i64) -> Option<Device> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (random, rest) = bytes.split_first_chunk()?;
        let (issued_at, tag) = rest.split_first_chunk()?;
        let device = Device(*random);
        let is_ours = self.0.verify(message(device, *issued_at, email), tag);
        let age = now - i64::from_be_bytes(*issued_at);
        (is_ours && age < LIFETIME).then_some(device)
    }
}

/// The encoding is unambiguous, because every part except the last has a fixed length.
fn message(Device(random): Device, issued_at: [u8; 8], email: &str) -> Vec<u8> {
    [&random[..], &issued_at, email.to_lowercase().as_bytes()].concat()
}

/// Returns the device that sent the request, if it has previously signed in to the account with this address. All
/// device cookies have the same name.
pub(crate) fn find(
    settings: &ApiSettings,
    key: &DeviceCookies,
    jar: &CookieJar,
    email: &str,
) -> Option<Device> {
    let text = cookies::read(settings, DEVICE, jar)?;
    key.verify(&text, email.trim(), Utc::now().timestamp())
}

/// Returns the cookie for a device that has signed in to the account with this address. A known device keeps its id.
pub(crate) fn cookie(
    settings: &ApiSettings,
    key: &DeviceCookies,
    kind: CookieKind,
    known: Option<Device>,
    email: &str,
) -> Cookie<'static> {
    let device = known.unwrap_or_else(Device::new);
    let value = key.issue(device, email, Utc::now().timestamp());
    cookies::persistent_cookie(settings, kind, value, LIFETIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_cookie_is_valid_for_one_year_and_one_account() {
        let key = DeviceCookies::new(&"a key".into());
        let (device, email) = (Device::new(), "ana@example.org");
        let text = key.issue(device, email, 1000);
        assert_eq!(key.verify(&text, email, 1000), Some(device));
        assert_eq!(key.verify(&text, "Ana@Example.org", 999 + LIFETIME), Some(device));
        assert_eq!(key.verify(&text, email, 1000 + LIFETIME), None, "too old");
        assert_eq!(key.verify(&text, "bo@example.org", 1000), None, "another account");
        assert_eq!(DeviceCookies::new(&"another".into()).verify(&text, email, 1000), None);
        let younger = key.issue(device, email, 1001);
        assert_ne!(text, younger);
        let end = text.len() - 43;
        let forged = format!("{}{}", &younger[..end], &text[end..]);
        assert_eq!(key.verify(&forged, email, 1001), None, "the issue time was changed");
        for nonsense in ["", "AAAA", &text[..end], &format!("{text}AA")] {
            assert_eq!(key.verify(nonsense, email, 1000), None, "{nonsense}");
        }
    }
}
