use crate::language::Language;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use std::sync::LazyLock;
use unic_langid::{LanguageIdentifier, langid};

/// Areas of the product. Each has one file per language.
macro_rules! sources {
    ($language:literal) => {
        [
            ("common", include_str!(concat!("../", $language, "/common.ftl"))),
            ("submit", include_str!(concat!("../", $language, "/submit.ftl"))),
            ("submission", include_str!(concat!("../", $language, "/submission.ftl"))),
            ("email", include_str!(concat!("../", $language, "/email.ftl"))),
            ("console", include_str!(concat!("../", $language, "/console.ftl"))),
        ]
    };
}

const ENGLISH: [(&str, &str); 5] = sources!("en");
const GERMAN: [(&str, &str); 5] = sources!("de");

pub(crate) struct Catalogue(FluentBundle<FluentResource>);

pub(crate) fn catalogue(language: Language) -> &'static Catalogue {
    static ENGLISH_CATALOGUE: LazyLock<Catalogue> =
        LazyLock::new(|| Catalogue::new(langid!("en-GB"), &ENGLISH));
    static GERMAN_CATALOGUE: LazyLock<Catalogue> =
        LazyLock::new(|| Catalogue::new(langid!("de"), &GERMAN));
    match language {
        Language::English => &ENGLISH_CATALOGUE,
        Language::German => &GERMAN_CATALOGUE,
    }
}

impl Catalogue {
    fn new(language: LanguageIdentifier, sources: &[(&str, &str)]) -> Self {
        let mut bundle = FluentBundle::new_concurrent(vec![language]);
        // Isolation characters around each value would appear in plain-text e-mails.
        bundle.set_use_isolating(false);
        for (name, source) in sources {
            let resource = FluentResource::try_new((*source).to_owned())
                .unwrap_or_else(|(_, errors)| panic!("{name}.ftl is invalid: {errors:?}"));
            bundle
                .add_resource(resource)
                .unwrap_or_else(|errors| panic!("{name}.ftl repeats a message: {errors:?}"));
        }
        Self(bundle)
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.0.has_message(key)
    }

    pub(crate) fn format(&self, key: &str, arguments: &FluentArgs<'_>) -> String {
        let message = self.0.get_message(key).and_then(|message| message.value());
        let pattern = message.unwrap_or_else(|| panic!("the catalogues have no message {key}"));
        let mut errors = Vec::new();
        let text = self.0.format_pattern(pattern, Some(arguments), &mut errors);
        debug_assert!(errors.is_empty(), "{key}: {errors:?}");
        text.into_owned()
    }
}

#[cfg(test)]
mod tests;
