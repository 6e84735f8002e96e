use std::cmp::Reverse;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// A supported language. Its name is the language's tag (BCP 47).
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
pub enum Language {
    #[default]
    #[strum(serialize = "en")]
    English,
    #[strum(serialize = "de")]
    German,
}

impl Language {
    pub const ALL: &[Language] = Self::VARIANTS;

    /// Returns the language's tag, such as `en`.
    pub fn tag(self) -> &'static str {
        self.into()
    }

    /// Returns the language's name in that language.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// Returns the supported language that an `Accept-Language` header prefers (RFC 9110, section 12.5.4), or English.
    pub fn from_accept_language(header: &str) -> Self {
        let mut ranges: Vec<(&str, f32)> = header.split(',').map(range).collect();
        // The sort is stable, so of two equally preferred languages, the one listed first is preferred.
        ranges.sort_by_key(|(_, quality)| Reverse((quality * 1000.0) as i32));
        let wanted = ranges.into_iter().filter(|(_, quality)| *quality > 0.0);
        wanted.filter_map(|(tag, _)| Self::from_tag(tag)).next().unwrap_or_default()
    }

    /// Returns the language of a tag such as `de-AT`.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next()?.trim().to_ascii_lowercase();
        primary.parse().ok()
    }
}

/// Parses a language range and its quality, which is 1 by default and 0 if it is invalid.
fn range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let tag = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    (tag, quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_supported_language_is_chosen() {
        for (header, expected) in [
            ("", Language::English),
            ("de", Language::German),
            ("de-AT,de;q=0.9,en;q=0.8", Language::German),
            ("en;q=0.8, de;q=0.9", Language::German),
            ("fr-FR, DE;q=0.5, en;q=0.4", Language::German),
            ("en, de", Language::English),
            ("de;q=0, fr", Language::English),
            ("de;q=x, en", Language::English),
            ("*", Language::English),
        ] {
            assert_eq!(Language::from_accept_language(header), expected, "{header}");
        }
    }
}
