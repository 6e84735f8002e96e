//! A session for pages: cookies that no script can read, and a token against forged requests that every
//! change must bring along (OWASP's signed double submit: derived from the session, so none is stored).

use crate::header_names::CSRF_HEADER;
use crate::settings::ApiSettings;
use axum::http::{HeaderMap, Method};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::SessionId;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// A cookie of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CookieKind {
    /// Its name, without the prefix that it has over encrypted connections.
    pub(crate) name: &'static str,
    /// Where it is sent to.
    path: &'static str,
}

/// Carries the access token.
pub(crate) const SESSION: CookieKind = CookieKind { name: "diagflow_session", path: "/" };
/// Carries the refresh token, to the one path that takes it.
pub(crate) const REFRESH: CookieKind =
    CookieKind { name: "diagflow_refresh", path: "/api/v1/auth/refresh" };
/// Makes a device known where passwords are tried: [`super::device`].
pub(crate) const DEVICE: CookieKind = CookieKind { name: "diagflow_device", path: "/api/v1/auth" };

/// Bound into every token, so that the same secret can derive other things without clashes.
const PURPOSE: &str = "diagflow csrf token v1:";

/// Derives and checks tokens against forged requests.
pub(crate) struct CsrfTokens(Hmac<Sha256>);

impl CsrfTokens {
    pub(crate) fn new(secret: &SecretString) -> Self {
        let key = Hmac::new_from_slice(secret.expose_secret().as_bytes());
        Self(key.expect("HMAC takes a key of any length"))
    }

    fn mac(&self, session: SessionId) -> Hmac<Sha256> {
        self.0.clone().chain_update(PURPOSE).chain_update(session.to_string())
    }

    /// The token of a session.
    pub(crate) fn token(&self, session: SessionId) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.mac(session).finalize().into_bytes())
    }

    /// Whether a request may use the session's cookie: it changes nothing, or brings the token.
    pub(crate) fn allows(&self, method: &Method, headers: &HeaderMap, session: SessionId) -> bool {
        if method.is_safe() {
            return true;
        }
        let given = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        given
            .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
            .is_some_and(|given| self.mac(session).verify_slice(&given).is_ok())
    }
}

/// The access token that a page's request brings.
pub(crate) fn access_token(settings: &ApiSettings, headers: &HeaderMap) -> Option<String> {
    read(settings, SESSION, &CookieJar::from_headers(headers))
}

/// What a request brings in a cookie.
pub(crate) fn read(settings: &ApiSettings, kind: CookieKind, jar: &CookieJar) -> Option<String> {
    let cookie = jar.get(&kind.full_name(settings))?;
    Some(cookie.value().to_owned()).filter(|value| !value.is_empty())
}

impl CookieKind {
    /// Its name, as browsers know it.
    pub(crate) fn full_name(self, settings: &ApiSettings) -> String {
        settings.cookie_name(self.name, self.path)
    }
}

/// A cookie that only our own pages send back, and no script can read. It ends with the browser, or
/// earlier with its session.
pub(crate) fn cookie(settings: &ApiSettings, kind: CookieKind, value: String) -> Cookie<'static> {
    Cookie::build((kind.full_name(settings), value))
        .path(kind.path)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(settings.is_secure())
        .build()
}

/// The same, but it stays for so many seconds.
pub(crate) fn persistent_cookie(
    settings: &ApiSettings,
    kind: CookieKind,
    value: String,
    seconds: i64,
) -> Cookie<'static> {
    let mut cookie = cookie(settings, kind, value);
    cookie.set_max_age(time::Duration::seconds(seconds));
    cookie
}

/// Takes a session's cookies back.
pub(crate) fn clear_session(settings: &ApiSettings, jar: CookieJar) -> CookieJar {
    [SESSION, REFRESH].into_iter().fold(jar, |jar, kind| {
        let mut expired = cookie(settings, kind, String::new());
        expired.make_removal();
        // `remove` would say nothing of a cookie that this request did not bring.
        jar.add(expired)
    })
}
