//! The top-level domains that mail programs recognise.

use std::collections::HashSet;
use std::sync::LazyLock;

static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("top_level_domains.txt").lines();
    lines.filter(|line| !line.starts_with('#')).chain(RESERVED).collect()
});

/// Names outside the root zone that are reserved for examples and private networks (RFC 2606, 6761, 6762, 7686, 9476).
const RESERVED: [&str; 11] = [
    "alt",
    "corp",
    "example",
    "home",
    "internal",
    "invalid",
    "lan",
    "local",
    "localhost",
    "onion",
    "test",
];

/// The prefix of an internationalized label in its ASCII form.
const PUNYCODE: &str = "xn--";

/// Returns whether a label is a top-level domain, or begins with one at which a mail program may end a link.
pub(super) fn is_top_level(label: &str) -> bool {
    let label = label.to_lowercase();
    let letters = label.split(|it: char| !it.is_ascii_lowercase()).next().unwrap_or_default();
    label.starts_with(PUNYCODE)
        || NAMES.contains(label.as_str())
        || NAMES.contains(letters)
        || label.split(['-', '_']).next().is_some_and(|start| NAMES.contains(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_level_domains_are_recognised() {
        for label in [
            "com",
            "COM",
            "onion",
            "example",
            "xn--p1ai",
            "рф",
            "ОНЛАЙН",
            "한국",
            "com診断",
            "com-now",
            "com_now",
            "онлайн-now",
            "com1",
        ] {
            assert!(is_top_level(label), "{label}");
        }
        for label in ["smith", "js", "jpg", "комната", "", "5mm", "-com", "診断"] {
            assert!(!is_top_level(label), "{label}");
        }
    }

    #[test]
    fn the_list_is_complete_and_lowercase() {
        assert!(NAMES.len() > 1400, "{}", NAMES.len());
        assert!(NAMES.iter().all(|name| !name.is_empty() && *name == name.to_lowercase()));
    }
}
