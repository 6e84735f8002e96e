//! The part of a report that a patient's e-mail shows. Anyone can send a submission for somebody else's address, and its
//! images and comments influence LoopAI's texts, so they are sanitized and their size is bounded.

use super::image_name::image_number;
use super::sanitize;
use crate::report::{Finding, Limits, Report};

/// Mail services cut e-mails of more than about 100 kB of HTML.
const LIMITS: Limits = Limits { items: 50, text: 2_000, total: 40_000 };
/// Bounds the work for a huge result. Sanitizing can shorten a text.
const BEFORE_SANITIZING: Limits = Limits { items: 50, text: 4_000, total: 80_000 };

#[derive(Debug, PartialEq, Eq)]
pub(super) struct EmailReport {
    pub(super) notice: Option<String>,
    pub(super) summary: Option<String>,
    pub(super) findings: Vec<EmailFinding>,
    pub(super) recommendations: Vec<String>,
    pub(super) truncated: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct EmailFinding {
    pub(super) label: String,
    pub(super) confidence: Option<String>,
    pub(super) description: Option<String>,
    /// Position of the image in the submission, from 1. The name of a file is never shown.
    pub(super) image: Option<u16>,
}

impl EmailReport {
    pub(super) fn new(report: &Report) -> EmailReport {
        // Unknown fields have no wording for patients. The API returns them.
        let mut report = Report { details: Vec::new(), truncated: false, ..report.clone() };
        report.truncate(&BEFORE_SANITIZING);
        sanitize(&mut report);
        report.truncate(&LIMITS);
        EmailReport {
            notice: report.notice,
            summary: report.summary,
            findings: report.findings.into_iter().map(EmailFinding::new).collect(),
            recommendations: report.recommendations,
            truncated: report.truncated,
        }
    }

    /// Whether the result has nothing that an e-mail can show.
    pub(super) fn is_empty(&self) -> bool {
        self.summary.is_none() && self.findings.is_empty() && self.recommendations.is_empty()
    }
}

impl EmailFinding {
    fn new(finding: Finding) -> EmailFinding {
        EmailFinding {
            label: finding.label,
            confidence: finding.confidence,
            description: finding.description,
            image: finding.file.as_deref().and_then(image_number),
        }
    }
}

fn sanitize(report: &mut Report) {
    for text in [&mut report.notice, &mut report.summary] {
        *text = text.as_deref().and_then(paragraphs);
    }
    for finding in &mut report.findings {
        finding.label = line(&finding.label).unwrap_or_else(|| "Finding".to_owned());
        finding.confidence = finding.confidence.as_deref().and_then(line);
        finding.description = finding.description.as_deref().and_then(paragraphs);
    }
    let recommendations = report.recommendations.iter().filter_map(|text| paragraphs(text));
    report.recommendations = recommendations.collect();
}

fn line(text: &str) -> Option<String> {
    Some(sanitize::line(text)).filter(|text| !text.is_empty())
}

fn paragraphs(text: &str) -> Option<String> {
    Some(sanitize::paragraphs(text)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagflow_store::DiagnosisResult;
    use serde_json::{Value, json};

    fn email_report(result: Value) -> EmailReport {
        let Value::Object(object) = result else { panic!("a result is an object") };
        EmailReport::new(&Report::from_result(&DiagnosisResult::new(object)))
    }

    #[test]
    fn a_file_is_shown_by_its_position_only() {
        let report = email_report(json!({"findings": [
            {"label": "a", "file": "image-2.jpg"},
            {"label": "b", "file": "Urgent - pay at www.evil.example.jpg"},
            {"label": "c", "file": {"name": "Urgent.jpg"}},
            {"label": "d", "file": 3},
        ]}));
        let images: Vec<_> = report.findings.iter().map(|finding| finding.image).collect();
        assert_eq!(images, [Some(2), None, None, None]);
    }

    #[test]
    fn every_text_is_sanitized() {
        const HOSTILE: &str = "see\u{202e} www.evil.example now";
        let report = email_report(json!({
            "notice": HOSTILE,
            "summary": HOSTILE,
            "findings": [{"label": HOSTILE, "confidence": HOSTILE, "description": HOSTILE}, HOSTILE],
            "recommendations": [HOSTILE],
        }));
        let expected = "see [link removed] now";
        let finding = |confidence, description| EmailFinding {
            label: expected.to_owned(),
            confidence,
            description,
            image: None,
        };
        let some = || Some(expected.to_owned());
        assert_eq!(report.notice, some());
        assert_eq!(report.summary, some());
        assert_eq!(report.findings, [finding(some(), some()), finding(None, None)]);
        assert_eq!(report.recommendations, [expected]);
    }

    #[test]
    fn unknown_fields_are_not_shown() {
        let report = email_report(json!({
            "measurements": [{"dominant_colours": [{"hex": "#a0522d"}]}],
            "findings": [{"label": "Mole", "asymmetry_index": 3}],
        }));
        let debug = format!("{report:?}");
        assert!(!debug.contains("a0522d") && !debug.contains("asymmetry"), "{debug}");
        assert!(!report.truncated);
        assert!(email_report(json!({"measurements": [1]})).is_empty());
    }

    #[test]
    fn texts_without_visible_content_are_left_out() {
        let report = email_report(json!({
            "summary": "\u{200b} \u{2066}",
            "findings": [{"label": "\u{200b}", "description": "\u{feff}"}],
            "recommendations": ["\u{ad}", "Rest"],
        }));
        assert_eq!(report.summary, None);
        assert_eq!(report.findings[0].label, "Finding");
        assert_eq!(report.findings[0].description, None);
        assert_eq!(report.recommendations, ["Rest"]);
    }

    #[test]
    fn the_size_is_bounded() {
        let long = "lorem ipsum ".repeat(1_000);
        let many: Vec<_> = (0..200).map(|_| json!({"label": long, "description": long})).collect();
        let report = email_report(json!({"summary": long, "findings": many}));
        assert!(report.truncated);
        let characters: usize = report
            .findings
            .iter()
            .map(|it| {
                it.label.chars().count()
                    + it.description.iter().flat_map(|text| text.chars()).count()
            })
            .sum();
        assert!(
            report.findings.len() <= LIMITS.items && characters <= LIMITS.total,
            "{characters}"
        );
        assert!(report.summary.is_some_and(|text| text.chars().count() == LIMITS.text + 1));
    }
}
