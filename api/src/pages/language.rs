use crate::extract::accepted_language::accepted_language;
use crate::pages::local_path::local_path;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use diagflow_locales::Language;
use serde::Deserialize;
use std::convert::Infallible;

/// The cookie with the language that a person has chosen.
const LANGUAGE_COOKIE: &str = "diagflow_language";

/// The language of a page: the one that the person has chosen, or else the one that the browser prefers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageLanguage(pub(crate) Language);

impl PageLanguage {
    pub(crate) fn of(headers: &axum::http::HeaderMap) -> Self {
        let chosen = CookieJar::from_headers(headers)
            .get(LANGUAGE_COOKIE)
            .and_then(|cookie| Language::from_tag(cookie.value()));
        Self(chosen.unwrap_or_else(|| accepted_language(headers)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageLanguage {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[derive(Deserialize)]
pub(super) struct ReturnTo {
    #[serde(default)]
    pub(super) r#return: String,
}

/// Stores the chosen language in a cookie and returns to the page.
pub(super) async fn choose_language(
    Path(tag): Path<String>,
    Query(query): Query<ReturnTo>,
) -> Response {
    let language = Language::from_tag(&tag).unwrap_or_default();
    let cookie = Cookie::build((LANGUAGE_COOKIE, language.tag()))
        .path("/")
        .same_site(SameSite::Lax)
        .http_only(true)
        .max_age(time::Duration::days(365))
        .build();
    let path = local_path(&query.r#return).unwrap_or("/");
    (CookieJar::new().add(cookie), Redirect::to(path)).into_response()
}
