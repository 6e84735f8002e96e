use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use diagflow_locales::Language;

/// Returns the supported language that the client prefers.
pub(crate) fn accepted_language(headers: &HeaderMap) -> Language {
    let header = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Language::from_accept_language(header.unwrap_or_default())
}
