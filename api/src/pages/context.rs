use crate::pages::assets::asset_path;
use crate::pages::language::PageLanguage;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use chrono::{DateTime, SecondsFormat, Utc};
use diagflow_locales::{Language, Text};
use diagflow_store::UtcTime;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::convert::Infallible;

/// What every page needs: its language and its own address.
#[derive(Debug, Clone)]
pub(crate) struct PageContext {
    pub(crate) language: Language,
    /// The page's path and query.
    pub(crate) address: String,
}

impl PageContext {
    pub(crate) fn of(headers: &axum::http::HeaderMap, uri: &axum::http::Uri) -> Self {
        let PageLanguage(language) = PageLanguage::of(headers);
        let address = uri.path_and_query().map_or("/", |address| address.as_str());
        Self { language, address: address.to_owned() }
    }

    pub(crate) fn text(&self, key: &'static str) -> Text {
        self.language.text(key)
    }

    /// Returns the message for a code such as a status. An unknown code is shown as it is.
    pub(crate) fn text_for(&self, prefix: &str, code: &str) -> String {
        self.language.text_for(prefix, code).map_or_else(|| code.to_owned(), String::from)
    }

    pub(crate) fn asset(&self, name: &str) -> String {
        asset_path(name)
    }

    /// Returns a time in UTC, for browsers without scripts.
    pub(crate) fn utc_time(&self, at: impl ShownTime) -> String {
        let format = self.text("common-utc-time-format").to_string();
        at.utc().format(&format).to_string()
    }

    /// Returns a time for the `datetime` attribute.
    pub(crate) fn datetime(&self, at: impl ShownTime) -> String {
        at.utc().to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// Returns the other languages in which the page is available, with the address that switches to each.
    pub(crate) fn other_languages(&self) -> Vec<(Language, String)> {
        let others = Language::ALL.iter().filter(|language| **language != self.language);
        let here = utf8_percent_encode(&self.address, NON_ALPHANUMERIC);
        others.map(|other| (*other, format!("/language/{other}?return={here}"))).collect()
    }
}

/// A time of any type that pages show.
pub(crate) trait ShownTime {
    fn utc(&self) -> DateTime<Utc>;
}

impl ShownTime for DateTime<Utc> {
    fn utc(&self) -> DateTime<Utc> {
        *self
    }
}

impl ShownTime for UtcTime {
    fn utc(&self) -> DateTime<Utc> {
        (*self).into()
    }
}

impl<T: ShownTime> ShownTime for &T {
    fn utc(&self) -> DateTime<Utc> {
        (**self).utc()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        Ok(Self::of(&parts.headers, uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_formatted_in_each_language() {
        let at = DateTime::from_timestamp(1_796_000_000, 0).expect("a time");
        let times = Language::ALL.iter().map(|language| {
            PageContext { language: *language, address: "/".to_owned() }.utc_time(at)
        });
        assert_eq!(
            times.collect::<Vec<_>>(),
            ["2026-11-30, 00:53 UTC", "30.11.2026, 00:53 Uhr (UTC)"]
        );
    }
}
