//! Who may read a submission: whoever brings its access token. It travels as a Bearer token or in an
//! HttpOnly cookie, never in a URL.

use crate::app::AppState;
use crate::error::ApiError;
use crate::settings::ApiSettings;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use diagflow_store::SubmissionId;

/// The cookie's name. Its path tells submissions apart: see [`cookies`].
pub(crate) const COOKIE: &str = "diagflow_access";

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
