//! Formats numbers as the languages of the pages require.

use diagflow_locales::Language;

/// Returns a whole number with separators, such as "1,204".
pub(super) fn number(language: Language, value: i64) -> String {
    let separator = match language {
        Language::English => ',',
        Language::German => '.',
    };
    let digits = value.unsigned_abs().to_string();
    let mut shown = String::from(if value < 0 { "−" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(separator);
        }
        shown.push(digit);
    }
    shown
}

/// Returns a share from 0 to 1 as a percentage with one decimal place, such as "12.5%".
pub(super) fn percent(language: Language, share: f64) -> String {
    let value = decimal(language, share * 100.0);
    match language {
        Language::English => format!("{value}%"),
        Language::German => format!("{value}\u{a0}%"),
    }
}

/// Returns a time such as "4.2 s", "2 min 5 s" or "3 h 12 min". The symbols are the same in all languages.
pub(super) fn duration(language: Language, seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{}\u{a0}s", decimal(language, seconds));
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds}\u{a0}s"),
        (0, minutes, seconds) => format!("{minutes}\u{a0}min {seconds}\u{a0}s"),
        (hours, minutes, _) => format!("{hours}\u{a0}h {minutes}\u{a0}min"),
    }
}

fn decimal(language: Language, value: f64) -> String {
    let shown = format!("{value:.1}");
    match language {
        Language::English => shown,
        Language::German => shown.replace('.', ","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Language::{English, German};

    #[test]
    fn digits_are_grouped_by_three() {
        for (value, expected) in
            [(0, "0"), (999, "999"), (1204, "1,204"), (1_204_000, "1,204,000"), (-1204, "−1,204")]
        {
            assert_eq!(number(English, value), expected);
        }
        assert_eq!(number(German, 1204), "1.204");
    }

    #[test]
    fn shares_are_percentages_with_one_decimal_place() {
        assert_eq!(percent(English, 0.125), "12.5%");
        assert_eq!(percent(German, 0.1254), "12,5\u{a0}%");
    }

    #[test]
    fn durations_use_two_units_at_most() {
        let shown = |seconds| duration(English, seconds).replace('\u{a0}', " ");
        assert_eq!(shown(4.23), "4.2 s");
        assert_eq!(shown(9.96), "10 s");
        assert_eq!(shown(59.6), "1 min 0 s");
        assert_eq!(shown(125.0), "2 min 5 s");
        assert_eq!(shown(11_559.0), "3 h 12 min");
        assert_eq!(duration(German, 4.23), "4,2\u{a0}s");
    }
}
