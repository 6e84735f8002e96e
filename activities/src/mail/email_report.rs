//! The part of a report shown in the patient's e-mail. Text from LoopAI is sanitized and limited in size because anyone
//! can submit another person's e-mail address along with images and comments that influence the text.

use super::image_name::image_number;
use super::sanitize;
use diagflow_locales::Language;
use diagflow_store::{Finding, Report, ReportLimits};

/// These limits keep the HTML below about 100 kB because mail services clip longer e-mails.
const LIMITS: ReportLimits = ReportLimits { items: 50, text: 2_000, total: 40_000 };
/// These limits bound the time spent sanitizing a huge result. They exceed [`LIMITS`] because sanitizing can shorten
/// text.
const BEFORE_SANITIZING: ReportLimits = ReportLimits { items: 50, text: 4_000, total: 80_000 };

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
    /// Position of the image in the submission, starting at 1. The e-mail never contains file names.
    pub(super) image: Option<u16>,
}

impl EmailReport {
    pub(super) fn new(report: &Report, language: Language) -> EmailReport {
        // Unknown fields are omitted because they are not written for patients. The API returns all fields.
        let mut report = Report { details: Vec::new(), truncated: false, ..report.clone() };
        report.truncate(&BEFORE_SANITIZING);
        sanitize(&mut report, language);
        report.truncate(&LIMITS);
        EmailReport {
            notice: report.notice,
            summary: report.summary,
            findings: report.findings.into_iter().map(EmailFinding::new).collect(),
            recommendations: report.recommendations,
            truncated: report.truncated,
        }
    }

    /// Returns whether the report contains nothing that can be shown in an e-mail.
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

fn sanitize(report: &mut Report, language: Language) {
    for text in [&mut report.notice, &mut report.summary] {
        *text = text.as_deref().and_then(paragraphs);
    }
    for finding in &mut report.findings {
        finding.label = line(&finding.label)
            .unwrap_or_else(|| language.text("email-result-finding").to_string());
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
        let report = Report::from_result(&DiagnosisResult::new(object));
        EmailReport::new(&report, Language::English)
    }

    #[test]
    fn images_are_identified_by_position_and_not_by_file_name() {
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
    fn all_text_from_loopai_is_sanitized() {
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
    fn unknown_fields_of_a_result_are_not_shown() {
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
    fn text_without_visible_content_is_omitted() {
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
    fn a_long_report_is_truncated() {
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
