//! Devices that signed in to an account are known again (OWASP, "device cookies"), so that what strangers
//! fail at does not hold up whoever is at home there. What a device holds opens nothing and says nothing of
//! the account: it only has its guesses counted apart. It is sealed for the account's address, so that
//! nobody has one for an account that they never signed in to.

use crate::auth::cookies;
use crate::auth::cookies::DEVICE;
use crate::settings::ApiSettings;
use axum_extra::extract::cookie::{Cookie, CookieJar};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Bound into every seal, so that the same secret can derive other things without clashes.
const PURPOSE: &str = "diagflow device v1:";
/// Seconds for which a device is known after a sign-in: one year.
const LIFETIME: i64 = 365 * 24 * 60 * 60;

/// What tells one device from another: random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device([u8; 16]);

impl Device {
    fn new() -> Self {
        let mut random = [0; 16];
        getrandom::fill(&mut random).expect("the operating system has random numbers");
        Self(random)
    }

    /// As text, to be counted by.
    pub(crate) fn id(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// Seals devices, and knows them again.
pub(crate) struct DeviceCookies(Hmac<Sha256>);

impl DeviceCookies {
    pub(crate) fn new(secret: &SecretString) -> Self {
        let key = Hmac::new_from_slice(secret.expose_secret().as_bytes());
        Self(key.expect("HMAC takes a key of any length"))
    }

    /// Of parts that have one length each, but for the last.
    fn mac(&self, Device(random): Device, issued_at: [u8; 8], email: &str) -> Hmac<Sha256> {
        let mac = self.0.clone().chain_update(PURPOSE).chain_update(random);
        mac.chain_update(issued_at).chain_update(email.to_lowercase())
    }

    /// What a device is given that signed in to the account of this address at this time (seconds issued_at
    /// 1970, UTC).
    fn issue(&self, device: Device, email: &str, now: i64) -> String {
        let issued_at = now.to_be_bytes();
        let seal = self.mac(device, issued_at, email).finalize().into_bytes();
        BASE64_URL_SAFE_NO_PAD.encode([&device.0[..], &issued_at, &seal].concat())
    }

    /// The device that holds this, where it signed in to the account of this address within a year.
    fn verify(&self, text: &str, email: &str, now: i64) -> Option<Device> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (random, rest) = bytes.split_first_chunk()?;
        let (issued_at, seal) = rest.split_first_chunk()?;
        self.mac(Device(*random), *issued_at, email).verify_slice(seal).ok()?;
        let age = now - i64::from_be_bytes(*issued_at);
        (age < LIFETIME).then_some(Device(*random))
    }
}

/// The device that a request comes from, where it is known to the account of this address.
pub(crate) fn find(
    settings: &ApiSettings,
    key: &DeviceCookies,
    jar: &CookieJar,
    email: &str,
) -> Option<Device> {
    let text = cookies::read(settings, DEVICE, jar)?;
    key.verify(&text, email.trim(), Utc::now().timestamp())
}

/// What makes a device known to the account of this address: one that was known stays the same.
pub(crate) fn cookie(
    settings: &ApiSettings,
    key: &DeviceCookies,
    known: Option<Device>,
    email: &str,
) -> Cookie<'static> {
    let device = known.unwrap_or_else(Device::new);
    let value = key.issue(device, email, Utc::now().timestamp());
    cookies::persistent_cookie(settings, DEVICE, value, LIFETIME)
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
        assert_eq!(key.verify(&forged, email, 1001), None, "its time was changed");
        for nonsense in ["", "AAAA", &text[..end], &format!("{text}AA")] {
            assert_eq!(key.verify(nonsense, email, 1000), None, "{nonsense}");
        }
    }
}
