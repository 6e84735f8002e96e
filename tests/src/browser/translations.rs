//! Recognises texts in the wrong language by the catalogues in `locales/`.

use crate::browser::profile::Language;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

/// The messages of a language that have neither variables nor variants, by name.
type Messages = BTreeMap<String, String>;

static CATALOGUES: LazyLock<[Messages; 2]> =
    LazyLock::new(|| [Language::English, Language::German].map(read));

fn read(language: Language) -> Messages {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../locales").join(language.tag());
    let files = std::fs::read_dir(folder).expect("the catalogues of a language");
    let texts = files
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a catalogue"));
    texts.flat_map(|text| messages(&text).collect::<Vec<_>>()).collect()
}

fn messages(text: &str) -> impl Iterator<Item = (String, String)> {
    let lines = text.lines().filter_map(|line| line.split_once(" = "));
    let plain = lines.filter(|(key, value)| !key.starts_with([' ', '#']) && !value.contains('{'));
    plain.map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
}

/// Whether the text is a message of another language, or the name of a message.
pub(super) fn is_foreign(text: &str, language: Language) -> bool {
    let [english, german] = &*CATALOGUES;
    let (own, other) = language.choose((english, german), (german, english));
    let own_texts: BTreeSet<&String> = own.values().collect();
    let is_other = other.values().any(|message| message == text);
    (is_other && !own_texts.contains(&text.to_owned())) || own.contains_key(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_other_language_and_names_of_messages_are_foreign() {
        assert!(is_foreign("Page not found", Language::German));
        assert!(!is_foreign("Page not found", Language::English));
        assert!(!is_foreign("Diagflow", Language::German), "the same in both languages");
        assert!(is_foreign("common-error-heading-not-found", Language::English));
    }
}
