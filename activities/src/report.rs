//! Turns a result into a readable report. LoopAI's results have no schema: known fields get their own sections, and all
//! other fields are listed as details, so that the patient sees everything.

use diagflow_store::DiagnosisResult;
use serde_json::{Map, Value};

/// Maximum number of findings, of recommendations and of details in a report. The database stores the full result.
const MAX_ITEMS: usize = 200;
/// Maximum number of characters in a report.
const MAX_CHARS: usize = 100_000;
const TRUNCATED_NOTICE: &str = "The result is too long to show in full. This is the first part.";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// LoopAI's note on the whole result, for example that it is simulated.
    pub notice: Option<String>,
    pub summary: Option<String>,
    pub findings: Vec<Finding>,
    pub recommendations: Vec<String>,
    /// All other fields, by name and value.
    pub details: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub label: String,
    /// Such as `87%`.
    pub confidence: Option<String>,
    pub description: Option<String>,
    pub file: Option<String>,
}

impl Report {
    pub fn from_result(result: &DiagnosisResult) -> Report {
        let mut rest = result.object().clone();
        let mut report = Report {
            notice: take_text(&mut rest, "notice"),
            summary: take_text(&mut rest, "summary"),
            ..Report::default()
        };
        match rest.remove("findings") {
            Some(Value::Array(findings)) => {
                for finding in findings {
                    report.add_finding(finding);
                }
            }
            Some(other) => report.add_details("findings", &other),
            None => {}
        }
        match rest.remove("recommendations") {
            Some(Value::Array(items)) => {
                report.recommendations = items.iter().map(plain).collect();
            }
            Some(other) => report.recommendations = vec![plain(&other)],
            None => {}
        }
        for (name, value) in &rest {
            report.add_details(&humanize(name), value);
        }
        report.truncate_all();
        report
    }

    /// Shortens the report to a size that fits into an e-mail, and adds a notice if it was too long.
    fn truncate_all(&mut self) {
        let items = self.findings.len().max(self.recommendations.len()).max(self.details.len());
        self.findings.truncate(MAX_ITEMS);
        self.recommendations.truncate(MAX_ITEMS);
        self.details.truncate(MAX_ITEMS);
        let mut left = MAX_CHARS;
        for text in self.texts() {
            match text.char_indices().nth(left) {
                Some((end, _)) => {
                    text.truncate(end);
                    text.push('…');
                    left = 0;
                }
                None => left -= text.chars().count(),
            }
        }
        if items > MAX_ITEMS || left == 0 {
            self.notice = match self.notice.take() {
                Some(notice) => Some(format!("{notice} {TRUNCATED_NOTICE}")),
                None => Some(TRUNCATED_NOTICE.to_owned()),
            };
        }
    }

    /// All texts, the most important first.
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let findings = self.findings.iter_mut().flat_map(|finding| {
            let more = [&mut finding.confidence, &mut finding.description, &mut finding.file];
            std::iter::once(&mut finding.label).chain(more.into_iter().flatten())
        });
        let opening = self.notice.iter_mut().chain(&mut self.summary);
        let details = self.details.iter_mut().flat_map(|(name, value)| [name, value]);
        opening.chain(findings).chain(&mut self.recommendations).chain(details)
    }

    fn add_finding(&mut self, finding: Value) {
        let Value::Object(mut finding) = finding else {
            let label = plain(&finding);
            self.findings.push(Finding { label, confidence: None, description: None, file: None });
            return;
        };
        let description = take_text(&mut finding, "description");
        let label = take_text(&mut finding, "label");
        let confidence = finding.remove("confidence").map(|value| percent(&value));
        let file = take_text(&mut finding, "file");
        let label = label.unwrap_or_else(|| "Finding".to_owned());
        for (name, value) in &finding {
            self.add_details(&format!("{label}: {}", humanize(name)), value);
        }
        self.findings.push(Finding { label, confidence, description, file });
    }

    fn add_details(&mut self, name: &str, value: &Value) {
        if self.details.len() > MAX_ITEMS {
            return;
        }
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    self.add_details(&format!("{name}, {}", humanize(key)), value);
                }
            }
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                for (index, item) in (1..).zip(items) {
                    self.add_details(&format!("{name} {index}"), item);
                }
            }
            Value::Null => {}
            other => self.details.push((name.to_owned(), plain(other))),
        }
    }
}

/// Removes a string or number from an object. A value of another type is left, and is later listed as a detail.
fn take_text(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(_) | Value::Number(_) => {}
        _ => return None,
    }
    object.remove(name).map(|value| plain(&value)).filter(|text| !text.trim().is_empty())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => String::new(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Formats a number between 0 and 1 as a percentage. Other values are not changed.
fn percent(value: &Value) -> String {
    match value.as_f64() {
        Some(share) if (0.0..=1.0).contains(&share) => format!("{:.0}%", share * 100.0),
        _ => plain(value),
    }
}

fn humanize(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(value: Value) -> Report {
        let Value::Object(object) = value else { panic!("a result is an object") };
        Report::from_result(&DiagnosisResult::new(object))
    }

    #[test]
    fn known_fields_are_shown_in_their_own_sections() {
        let report = report(json!({
            "summary": "All well",
            "findings": [{"label": "Mole", "confidence": 0.873, "description": "benign", "file": "a.jpg"}],
            "recommendations": ["Sleep", "Drink"],
        }));
        assert_eq!(report.summary.as_deref(), Some("All well"));
        assert_eq!(report.findings[0].confidence.as_deref(), Some("87%"));
        assert_eq!(report.findings[0].file.as_deref(), Some("a.jpg"));
        assert_eq!(report.recommendations, ["Sleep", "Drink"]);
        assert!(report.details.is_empty());
    }

    #[test]
    fn unexpected_shapes_are_shown_as_details() {
        let report = report(json!({
            "summary": {"de": "Alles gut"},
            "findings": ["plain words", {"label": "Mole", "asymmetry_index": 3}],
            "recommendations": "Rest",
            "model": {"name": "m1", "tags": ["a", "b"]},
            "urgent": true,
        }));
        assert_eq!(report.findings[0].label, "plain words");
        assert_eq!(report.recommendations, ["Rest"]);
        let details: Vec<String> =
            report.details.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for expected in [
            "summary, de=Alles gut",
            "Mole: asymmetry index=3",
            "model, name=m1",
            "model, tags=a, b",
            "urgent=yes",
        ] {
            assert!(details.iter().any(|line| line == expected), "{expected} in {details:?}");
        }
    }

    #[test]
    fn unknown_content_is_limited() {
        let many: Vec<_> = (0..1000).map(|n| json!({"n": n})).collect();
        let report = report(json!({"many": many}));
        assert_eq!(report.details.len(), MAX_ITEMS);
        assert_eq!(report.notice.as_deref(), Some(TRUNCATED_NOTICE));
    }

    #[test]
    fn long_text_is_cut_at_a_character_boundary() {
        let long = "ß".repeat(MAX_CHARS + 1);
        let report = report(json!({"notice": "n", "summary": long, "recommendations": ["Rest"]}));
        let summary = report.summary.expect("a summary");
        assert_eq!(summary.chars().count(), MAX_CHARS);
        assert!(summary.ends_with("ß…"));
        assert_eq!(report.recommendations, ["…"]);
        assert!(report.notice.is_some_and(|notice| notice.ends_with(TRUNCATED_NOTICE)));
    }
}
