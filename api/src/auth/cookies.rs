//! A session for pages: cookies that no script can read, and a token against forged requests that every
//! change must bring along (OWASP's signed double submit: derived from the session, so none is stored).

use crate::settings::ApiSettings;
use axum::http::{HeaderMap, HeaderName, Method};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::SessionId;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Carries the access token.
pub(crate) const SESSION: &str = "diagflow_session";
/// Carries the refresh token, to the one path that takes it.
pub(crate) const REFRESH: &str = "diagflow_refresh";
/// The path that takes the refresh token.
pub(crate) const REFRESH_PATH: &str = "/api/v1/auth/refresh";
/// Carries the token against forged requests.
pub(crate) const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// Bound into every token, so that the same secret can derive other things without clashes.
const PURPOSE: &str = "diagflow csrf token v1:";

/// Derives and checks tokens against forged requests.
pub(crate) struct CsrfKey(Hmac<Sha256>);

impl CsrfKey {
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
pub(crate) fn access_token(headers: &HeaderMap) -> Option<String> {
    let jar = CookieJar::from_headers(headers);
    jar.get(SESSION).map(|cookie| cookie.value().to_owned()).filter(|token| !token.is_empty())
}

/// A cookie that only our own pages send back, and no script can read. It ends with the browser, or
/// earlier with its session.
pub(crate) fn cookie(
    settings: &ApiSettings,
    name: &'static str,
    path: &'static str,
    value: String,
) -> Cookie<'static> {
    Cookie::build((name, value))
        .path(path)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(settings.cookie_secure())
        .build()
}

/// Takes a session's cookies back.
pub(crate) fn without(settings: &ApiSettings, jar: CookieJar) -> CookieJar {
    [(SESSION, "/"), (REFRESH, REFRESH_PATH)].into_iter().fold(jar, |jar, (name, path)| {
        let mut gone = cookie(settings, name, path, String::new());
        gone.make_removal();
        // `remove` would say nothing of a cookie that this request did not bring.
        jar.add(gone)
    })
}

/// The refresh token that a page's request brings.
pub(crate) fn refresh_token(jar: &CookieJar) -> Option<String> {
    jar.get(REFRESH).map(|cookie| cookie.value().to_owned()).filter(|token| !token.is_empty())
}
