//! Access tokens: who holds a submission's token may read that submission.
//!
//! A token is derived from the submission's id and our secret, so none is stored, and a repeated
//! request gets the same one. It travels as a Bearer token or in an HttpOnly cookie, never in a URL.

use crate::app::AppState;
use crate::error::ApiError;
use crate::settings::ApiSettings;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use diagflow_store::SubmissionId;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The cookie's name. Its path tells submissions apart: see [`cookies`].
pub(crate) const COOKIE: &str = "diagflow_access";

/// Bound into every token, so that the same secret can derive other things without clashes.
const PURPOSE: &str = "diagflow access token v1:";

/// Derives and checks access tokens.
pub(crate) struct TokenKey(Hmac<Sha256>);

impl TokenKey {
    pub(crate) fn new(secret: &SecretString) -> Self {
        let key = Hmac::new_from_slice(secret.expose_secret().as_bytes());
        Self(key.expect("HMAC takes a key of any length"))
    }

    fn mac(&self, submission: SubmissionId) -> Hmac<Sha256> {
        self.0.clone().chain_update(PURPOSE).chain_update(submission.to_string())
    }

    /// The token that opens `submission`.
    pub(crate) fn token(&self, submission: SubmissionId) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.mac(submission).finalize().into_bytes())
    }

    /// Whether `token` opens `submission`; takes the same time wherever it differs.
    pub(crate) fn opens(&self, token: &str, submission: SubmissionId) -> bool {
        BASE64_URL_SAFE_NO_PAD
            .decode(token)
            .is_ok_and(|given| self.mac(submission).verify_slice(&given).is_ok())
    }
}

/// Where a submission's state is read.
pub(crate) fn status_path(submission: SubmissionId) -> String {
    format!("/api/user/status/{submission}")
}

/// Where a submission is followed.
pub(crate) fn events_path(submission: SubmissionId) -> String {
    format!("/api/user/events/{submission}")
}

/// The cookies that let a page's `EventSource`, which cannot send headers, read a submission. One for
/// each of its paths: a browser with many submissions sends only the one that the path needs.
pub(crate) fn cookies(
    settings: &ApiSettings,
    submission: SubmissionId,
    token: &str,
) -> [Cookie<'static>; 2] {
    [status_path(submission), events_path(submission)].map(|path| {
        Cookie::build((COOKIE, token.to_owned()))
            .path(path)
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(settings.cookie_secure())
            .build()
    })
}

/// A request that may read the submission named in its path.
pub(crate) struct Access(pub(crate) SubmissionId);

impl FromRequestParts<AppState> for Access {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::NotFound)?;
        let id: SubmissionId = id.parse().map_err(|_| ApiError::NotFound)?;
        let tokens = presented(parts);
        if tokens.is_empty() {
            return Err(ApiError::TokenRequired);
        }
        let opens = tokens.iter().any(|token| state.tokens.opens(token, id));
        if opens { Ok(Access(id)) } else { Err(ApiError::NotFound) }
    }
}

/// Every token that a request brings.
fn presented(parts: &Parts) -> Vec<String> {
    let bearer = parts.headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let jar = CookieJar::from_headers(&parts.headers);
    let cookie = jar.get(COOKIE).map(|cookie| cookie.value().to_owned());
    bearer.chain(cookie).filter(|token| !token.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11";

    #[test]
    fn a_token_is_that_of_the_formula() {
        // printf 'diagflow access token v1:<ID>' | openssl dgst -sha256 -hmac 'a secret' -binary | basenc --base64url
        let id: SubmissionId = ID.parse().expect("an id");
        let token = TokenKey::new(&"a secret".into()).token(id);
        assert_eq!(token, "JBE0CI9C4K4SDb9FJ5lZG2hIaDmBkaIzoDGXTauiLYY");
    }

    #[test]
    fn a_token_opens_its_own_submission_only() {
        let key = TokenKey::new(&"a secret".into());
        let id = SubmissionId::new();
        let token = key.token(id);
        assert!(key.opens(&token, id));
        assert!(!key.opens(&token, SubmissionId::new()));
        assert!(!TokenKey::new(&"another".into()).opens(&token, id));
        for wrong in ["", "AAAA", &token[1..], &format!("{token}A"), "not base64!"] {
            assert!(!key.opens(wrong, id), "{wrong:?}");
        }
    }
}
