//! Estimates the entropy of a secret to detect secrets that were made up by a person.

use std::collections::BTreeSet;
use zxcvbn::matching::patterns::MatchPattern;

/// Minimum length of a repetition or sequence. Random secrets rarely contain one this long.
const MIN_PATTERN: usize = 5;
/// Minimum length of a word within a longer text.
const MIN_WORD: usize = 4;
/// Words that are not in the dictionary of zxcvbn but are easy to guess in a secret of this product.
const KNOWN_WORDS: [&str; 2] = ["diagflow", "loopai"];
/// Number of characters searched for words at a time. zxcvbn counts guesses in 64 bits, which is enough for this many
/// random digits.
const CHUNK: usize = 16;
/// The time needed for the estimate is quadratic in the length.
const MAX_CHARS: usize = 256;

/// A word, a date or a keyboard pattern.
struct Word {
    start: usize,
    length: usize,
    bits: f64,
}

/// Returns the entropy in bits. Each character counts as a random choice from the secret's alphabet, except in
/// repetitions, sequences and words.
pub(super) fn estimate(secret: &str) -> f64 {
    let chars: Vec<char> = secret.chars().take(MAX_CHARS).collect();
    let alphabet = alphabet(&chars);
    let bits_per_char = f64::from(alphabet).log2();
    // Hexadecimal digits contain words only by chance.
    let words = if alphabet > 16 { words(&chars) } else { Vec::new() };
    let (mut bits, mut at) = (0.0, 0);
    while at < chars.len() {
        let pattern = repetition(&chars, at).max(sequence(&chars[at..]));
        let word = words.iter().find(|word| word.start == at);
        let (length, added) = match word {
            _ if pattern >= MIN_PATTERN => (pattern, bits_per_char),
            Some(word) => (word.length, word.bits),
            None if is_known_separator(&chars, at) => (1, 1.0),
            None => (1, bits_per_char),
        };
        bits += added;
        at += length;
    }
    bits
}

/// Returns the size of the alphabet that the secret appears to be drawn from.
fn alphabet(chars: &[char]) -> u32 {
    let has = |is: fn(&char) -> bool| u32::from(chars.iter().any(is));
    let letters = 26 * (has(char::is_ascii_uppercase) + has(char::is_ascii_lowercase));
    let mut alphanumeric = chars.iter().filter(|char| char.is_alphanumeric());
    if letters <= 26 && alphanumeric.all(char::is_ascii_hexdigit) {
        return if letters == 0 { 10 } else { 16 };
    }
    let others: BTreeSet<_> = chars.iter().filter(|char| !char.is_ascii_alphanumeric()).collect();
    let others = u32::try_from(others.len()).unwrap_or(u32::MAX);
    letters + 10 * has(char::is_ascii_digit) + others
}

/// Returns the length of the longest text at `at` that also occurs earlier. The two occurrences may overlap.
fn repetition(chars: &[char], at: usize) -> usize {
    let rest = chars.get(at..).unwrap_or_default();
    let earlier = (0..at).filter_map(|start| chars.get(start..));
    let lengths = earlier.map(|text| text.iter().zip(rest).take_while(|(a, b)| a == b).count());
    lengths.max().unwrap_or_default()
}

/// Returns the length of the initial run of equal or consecutive characters, such as `1111`, `abcd` or `4321`.
fn sequence(chars: &[char]) -> usize {
    let steps: Vec<i64> = chars
        .windows(2)
        .map(|pair| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0])))
        .collect();
    match steps.first() {
        Some(step @ -1..=1) => 1 + steps.iter().take_while(|next| *next == step).count(),
        _ => 1,
    }
}

/// Returns whether the character is neither a letter nor a digit and has occurred before.
fn is_known_separator(chars: &[char], at: usize) -> bool {
    let (earlier, rest) = chars.split_at(at);
    rest.first().is_some_and(|char| !char.is_alphanumeric() && earlier.contains(char))
}

/// Finds words between separators. A text between two separators may also be a short word.
fn words(chars: &[char]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = 0;
    for text in chars.split(|char| !char.is_alphanumeric()) {
        for (index, chunk) in text.chunks(CHUNK).enumerate() {
            let min_length = MIN_WORD.min(text.len());
            let found = words_in(chunk).filter(|word| word.length >= min_length);
            words.extend(
                found.map(|word| Word { start: start + index * CHUNK + word.start, ..word }),
            );
        }
        start += text.len() + 1;
    }
    words
}

fn words_in(chunk: &[char]) -> impl Iterator<Item = Word> {
    let text: String = chunk.iter().collect();
    let found = zxcvbn::zxcvbn(&text, &KNOWN_WORDS).sequence().to_vec();
    found.into_iter().filter(|found| found.pattern != MatchPattern::BruteForce).map(|found| {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let guesses = found.guesses.unwrap_or(u64::MAX) as f64;
        Word { start: found.i, length: found.token.chars().count(), bits: guesses.log2() }
    })
}

#[cfg(test)]
mod tests {
    use super::estimate;
    use crate::settings::production::MIN_SECRET_BITS;

    #[test]
    fn made_up_secrets_have_low_entropy() {
        for secret in [
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc",
            "0123456789abcdef0123456789abcdef0123456789abcdef",
            "change-me-to-a-long-random-secret-before-production",
            "development-only-secret-key-do-not-use-in-production",
            "development-only-jwt-key-do-not-use-in-production",
            "development-only-audit-key-do-not-use-in-production",
            "correcthorsebatterystaplecorrecthorsebatterystaple",
            "correct-horse-battery-staple-purple-monkey",
            "qwertyuiopasdfghjklzxcvbnmqwertyuiop",
            "SuperSecretPassword2026SuperSecretPassword2026!",
            "93847561029384756102938475610293",
            "7f3a9c7f3a9c7f3a9c7f3a9c7f3a9c7f3a9c7f3a9c",
        ] {
            let bits = estimate(secret);
            assert!(bits < MIN_SECRET_BITS, "{secret} has {bits} bits");
        }
    }

    #[test]
    fn random_secrets_have_high_entropy() {
        for secret in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "kT8vQz1mWc4Xr7Lp0NsYb3HfJd6GaUe2",
            "D0B1A2C3-9F4E-4E77-A1C5-5F6E7D8C9B0A",
            "r;9[Lw$2x}Q7_n~K!e5@Vd^8Zb(3Yh)T",
        ] {
            let bits = estimate(secret);
            assert!(bits >= MIN_SECRET_BITS, "{secret} has {bits} bits");
        }
    }

    /// Xorshift, which is random enough for this test and produces the same output in every run.
    fn random_hex(state: &mut u64) -> String {
        let mut next = || {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            *state
        };
        format!("{:016x}{:016x}", next(), next())
    }

    #[test]
    fn almost_every_random_secret_of_128_bits_is_accepted() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let secrets = (0..500).map(|_| random_hex(&mut state));
        let rejected: Vec<_> =
            secrets.filter(|secret| estimate(secret) < MIN_SECRET_BITS).collect();
        assert!(rejected.len() <= 5, "{rejected:?}");
    }
}
