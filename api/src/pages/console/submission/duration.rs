use chrono::TimeDelta;
use diagflow_locales::{Language, Text};

/// Returns a duration in its two largest units.
pub(super) fn duration_text(language: &Language, duration: &TimeDelta) -> Text {
    let seconds = duration.num_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes, seconds) {
        (0, 0, 0, 0) => language.text("console-submission-duration-moment"),
        (0, 0, 0, _) => {
            language.text("console-submission-duration-seconds").arg("seconds", seconds)
        }
        (0, 0, ..) => language
            .text("console-submission-duration-minutes")
            .arg("minutes", minutes)
            .arg("seconds", seconds % 60),
        (0, ..) => language
            .text("console-submission-duration-hours")
            .arg("hours", hours)
            .arg("minutes", minutes % 60),
        _ => language
            .text("console-submission-duration-days")
            .arg("days", days)
            .arg("hours", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_in_its_two_largest_units() {
        for (milliseconds, expected) in [
            (-5, "under 1 s"),
            (999, "under 1 s"),
            (1_000, "1 s"),
            (59_999, "59 s"),
            (60_000, "1 min 0 s"),
            (3_599_000, "59 min 59 s"),
            (3_600_000, "1 h 0 min"),
            (86_400_000 + 7_200_000, "1 d 2 h"),
        ] {
            let text = duration_text(&Language::English, &TimeDelta::milliseconds(milliseconds));
            assert_eq!(text.to_string(), expected);
        }
    }
}
