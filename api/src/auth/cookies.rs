//! Browser session cookies and CSRF tokens. Scripts cannot read the cookies, and requests that change data must also
//! include a CSRF token. The token is derived from the session (OWASP's signed double-submit pattern), so it does not
//! need to be stored.

use crate::header_names::CSRF_HEADER;
use crate::settings::ApiSettings;
use axum::http::{HeaderMap, Method};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::{Keyring, MacKey, SessionId};

#[derive(Debug, Clone, Copy)]
pub(crate) struct CookieKind {
    /// Cookie name without the prefix added over HTTPS.
    pub(crate) name: &'static str,
    path: &'static str,
}

pub(crate) const SESSION: CookieKind = CookieKind { name: "diagflow_session", path: "/" };
/// The cookie that holds the refresh token. Browsers send it only to the one path that accepts it.
pub(crate) const REFRESH: CookieKind =
    CookieKind { name: "diagflow_refresh", path: "/api/v1/auth/refresh" };
/// The cookie that identifies a known device at sign-in (see [`super::device`]).
pub(crate) const DEVICE: CookieKind = CookieKind { name: "diagflow_device", path: "/api/v1/auth" };
/// The device cookie for the sign-in route of admin consoles, which has a different path.
pub(crate) const CONSOLE_DEVICE: CookieKind =
    CookieKind { name: DEVICE.name, path: "/api/admin/login" };

pub(crate) struct CsrfTokens(MacKey);

impl CsrfTokens {
    pub(crate) fn new(secrets: &Keyring) -> Self {
        Self(MacKey::derive(secrets, "diagflow csrf token v1"))
    }

    pub(crate) fn token(&self, session: SessionId) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0.tag(session.to_string()))
    }

    /// Whether a request may authenticate with the session cookie: either its method is safe, or it includes the
    /// session's CSRF token.
    pub(crate) fn allows(&self, method: &Method, headers: &HeaderMap, session: SessionId) -> bool {
        let token = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        let tag = token.and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        method.is_safe() || tag.is_some_and(|tag| self.0.verify(session.to_string(), &tag))
    }
}

pub(crate) fn access_token(settings: &ApiSettings, headers: &HeaderMap) -> Option<String> {
    read(settings, SESSION, &CookieJar::from_headers(headers))
}

pub(crate) fn read(settings: &ApiSettings, kind: CookieKind, jar: &CookieJar) -> Option<String> {
    let cookie = jar.get(&kind.full_name(settings))?;
    Some(cookie.value().to_owned()).filter(|value| !value.is_empty())
}

impl CookieKind {
    pub(crate) fn full_name(self, settings: &ApiSettings) -> String {
        settings.cookie_name(self.name, self.path)
    }
}

/// Returns a cookie that scripts cannot read and that browsers send only with requests from our own pages. The cookie
/// expires when the browser is closed.
pub(crate) fn cookie(settings: &ApiSettings, kind: CookieKind, value: String) -> Cookie<'static> {
    Cookie::build((kind.full_name(settings), value))
        .path(kind.path)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(settings.is_secure())
        .build()
}

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

pub(crate) fn clear_session(settings: &ApiSettings, jar: CookieJar) -> CookieJar {
    [SESSION, REFRESH].into_iter().fold(jar, |jar, kind| {
        let mut expired = cookie(settings, kind, String::new());
        expired.make_removal();
        // `remove` ignores cookies that were not sent with this request.
        jar.add(expired)
    })
}
