//! Turns a result into a readable report. LoopAI's results have no schema, so known fields get their own sections, and
//! all other fields are listed as details.

use crate::submissions::results::DiagnosisResult;
use serde_json::{Map, Value};

/// Maximum number of details in a report. The database stores the full result.
const MAX_DETAILS: usize = 200;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// A note from LoopAI about the whole result, for example that it is simulated.
    pub notice: Option<String>,
    pub summary: Option<String>,
    pub findings: Vec<Finding>,
    pub recommendations: Vec<String>,
    /// Names and values of all other fields.
    pub details: Vec<(String, String)>,
    /// Whether part of the result was omitted from the report.
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub label: String,
    /// Confidence as text, such as `87%`.
    pub confidence: Option<String>,
    /// Confidence in percent, if it is a number between 0 and 1.
    pub percent: Option<u8>,
    pub description: Option<String>,
    pub file: Option<String>,
}

/// Maximum size of a report.
pub struct ReportLimits {
    /// Maximum number of findings and, separately, of recommendations.
    pub items: usize,
    /// Maximum length of a single text, in characters.
    pub text: usize,
    /// Maximum combined length of all texts, in characters.
    pub total: usize,
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
                for item in items {
                    report.add_recommendation(&item);
                }
            }
            Some(other) => report.add_recommendation(&other),
            None => {}
        }
        for (name, value) in &rest {
            report.add_details(&humanize(name), value);
        }
        report
    }

    /// Truncates the report. Findings and details are truncated before recommendations, which patients need most.
    pub fn truncate(&mut self, limits: &ReportLimits) {
        let mut budget = Budget { text: limits.text, left: limits.total, truncated: false };
        for text in self.notice.iter_mut().chain(&mut self.summary) {
            budget.shorten(text);
        }
        budget.shorten_all(&mut self.recommendations, limits.items, Budget::shorten);
        budget.shorten_all(&mut self.findings, limits.items, |budget, finding| {
            finding.texts().for_each(|text| budget.shorten(text));
        });
        budget.shorten_all(&mut self.details, MAX_DETAILS, |budget, (name, value)| {
            budget.shorten(name);
            budget.shorten(value);
        });
        self.truncated |= budget.truncated;
    }

    fn add_finding(&mut self, finding: Value) {
        let mut finding = match finding {
            Value::Object(finding) => finding,
            Value::Array(_) => return self.add_details("findings", &finding),
            other => {
                let label = plain(&other);
                return self.findings.push(Finding {
                    label,
                    confidence: None,
                    percent: None,
                    description: None,
                    file: None,
                });
            }
        };
        let description = take_text(&mut finding, "description");
        let label = take_text(&mut finding, "label");
        let value = take_scalar(&mut finding, "confidence");
        let percent = value.as_ref().and_then(percent);
        let confidence =
            value.map(|value| percent.map_or_else(|| plain(&value), |it| format!("{it}%")));
        let file = take_text(&mut finding, "file");
        let label = label.unwrap_or_else(|| "Finding".to_owned());
        for (name, value) in &finding {
            self.add_details(&format!("{label}: {}", humanize(name)), value);
        }
        self.findings.push(Finding { label, confidence, percent, description, file });
    }

    fn add_recommendation(&mut self, item: &Value) {
        match item {
            Value::Object(_) | Value::Array(_) => self.add_details("recommendations", item),
            other => self.recommendations.push(plain(other)),
        }
    }

    fn add_details(&mut self, name: &str, value: &Value) {
        if self.details.len() == MAX_DETAILS {
            self.truncated = true;
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

impl Finding {
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let more = [&mut self.confidence, &mut self.description, &mut self.file];
        std::iter::once(&mut self.label).chain(more.into_iter().flatten())
    }
}

/// Tracks how many more characters the report may contain.
struct Budget {
    text: usize,
    left: usize,
    truncated: bool,
}

impl Budget {
    fn shorten(&mut self, text: &mut String) {
        let limit = self.text.min(self.left);
        match text.char_indices().nth(limit) {
            Some((end, _)) => {
                text.truncate(end);
                text.push('…');
                self.left -= limit;
                self.truncated = true;
            }
            None => self.left -= text.chars().count(),
        }
    }

    fn shorten_all<T>(&mut self, items: &mut Vec<T>, max: usize, shorten: fn(&mut Self, &mut T)) {
        let mut shown = 0;
        for item in items.iter_mut().take(max) {
            if self.left == 0 {
                break;
            }
            shorten(self, item);
            shown += 1;
        }
        self.truncated |= shown < items.len();
        items.truncate(shown);
    }
}

/// Removes a string or number from an object and returns it as text. Values of other types stay in the object and are
/// later listed as details.
fn take_text(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    take_scalar(object, name).map(|value| plain(&value)).filter(|text| !text.trim().is_empty())
}

fn take_scalar(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    match object.get(name)? {
        Value::String(_) | Value::Number(_) => object.remove(name),
        _ => None,
    }
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

/// Converts a number between 0 and 1 to a percentage.
fn percent(value: &Value) -> Option<u8> {
    let share = value.as_f64().filter(|share| (0.0..=1.0).contains(share))?;
    Some((share * 100.0).round() as u8)
}

fn humanize(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LIMITS: ReportLimits = ReportLimits { items: 3, text: 10, total: 25 };

    fn report(value: Value) -> Report {
        let Value::Object(object) = value else { panic!("a result is an object") };
        Report::from_result(&DiagnosisResult::new(object))
    }

    fn truncated(value: Value) -> Report {
        let mut report = report(value);
        report.truncate(&LIMITS);
        report
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
        assert_eq!(report.findings[0].percent, Some(87));
        assert_eq!(report.findings[0].file.as_deref(), Some("a.jpg"));
        assert_eq!(report.recommendations, ["Sleep", "Drink"]);
        assert!(report.details.is_empty());
    }

    #[test]
    fn values_of_unexpected_types_are_shown_as_details() {
        let report = report(json!({
            "summary": {"de": "Alles gut"},
            "findings": [
                "plain words",
                {"label": "Mole", "asymmetry_index": 3, "confidence": {"low": 0.1}},
                [{"nested": true}],
            ],
            "recommendations": ["Rest", {"step": "Sleep"}],
            "model": {"name": "m1", "tags": ["a", "b"]},
            "urgent": true,
        }));
        assert_eq!(report.findings[0].label, "plain words");
        assert_eq!(report.findings.len(), 2);
        assert_eq!(report.recommendations, ["Rest"]);
        let details: Vec<String> =
            report.details.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for expected in [
            "summary, de=Alles gut",
            "Mole: asymmetry index=3",
            "Mole: confidence, low=0.1",
            "findings 1, nested=yes",
            "recommendations, step=Sleep",
            "model, name=m1",
            "model, tags=a, b",
            "urgent=yes",
        ] {
            assert!(details.iter().any(|line| line == expected), "{expected} in {details:?}");
        }
    }

    #[test]
    fn the_number_of_details_is_limited() {
        let many: Vec<_> = (0..1000).map(|n| json!({"n": n})).collect();
        let report = report(json!({"many": many}));
        assert_eq!(report.details.len(), MAX_DETAILS);
        assert!(report.truncated);
    }

    #[test]
    fn long_text_is_truncated_at_a_character_boundary() {
        let report = truncated(json!({"summary": "ß".repeat(11), "recommendations": ["Rest"]}));
        assert_eq!(report.summary, Some(format!("{}…", "ß".repeat(10))));
        assert_eq!(report.recommendations, ["Rest"]);
        assert!(report.truncated);
    }

    #[test]
    fn items_beyond_a_limit_are_omitted() {
        let many = truncated(json!({"recommendations": ["1", "2", "3", "4"]}));
        assert_eq!((many.recommendations.len(), many.truncated), (3, true));
        let ten = "0123456789";
        let long = truncated(json!({"recommendations": [ten, ten, ten]}));
        assert_eq!(
            (long.recommendations, long.truncated),
            (vec![ten.into(), ten.into(), "01234…".into()], true)
        );
        let exhausted =
            truncated(json!({"summary": ten, "notice": ten, "findings": ["01234", "5"]}));
        assert_eq!((exhausted.findings.len(), exhausted.truncated), (1, true));
        let fits = truncated(json!({"summary": ten, "notice": ten, "findings": ["01234"]}));
        assert_eq!((fits.findings.len(), fits.truncated), (1, false));
    }
}
