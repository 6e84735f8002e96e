//! Links without a host, such as `tel:+4930123456`, which mail programs and phones make tappable.

const SCHEMES: [&str; 18] = [
    "bitcoin",
    "callto",
    "ethereum",
    "facetime",
    "facetime-audio",
    "javascript",
    "lightning",
    "litecoin",
    "mailto",
    "sip",
    "sips",
    "skype",
    "sms",
    "smsto",
    "tel",
    "viber",
    "whatsapp",
    "xmpp",
];

/// Returns whether a word contains a link without a host. `Tel:` on its own is a label, not a link.
pub(super) fn contains_link(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.match_indices(':').any(|(at, _)| {
        let (before, after) = word.split_at(at);
        let is_name = |before: &str| !before.ends_with(|it: char| it.is_ascii_alphanumeric());
        let has_name = SCHEMES.iter().any(|name| before.strip_suffix(name).is_some_and(is_name));
        has_name && after.contains(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_without_a_host_are_recognised() {
        for word in
            ["tel:1", "Tel:+49301", "(sms:+49)", "now:skype:evil", "pay-bitcoin:1Boat", "米tel:1"]
        {
            assert!(contains_link(word), "{word}");
        }
        for word in ["Tel:", "(tel:)", "Hotel:5", "tel", "ratio:2", "Motel:5", ":5"] {
            assert!(!contains_link(word), "{word}");
        }
    }
}
