//! A result as the submission's page shows it.

use diagflow_locales::{Language, Text};
use diagflow_store::{DiagnosisResult, File, Finding, Report, ReportLimits};

/// The page shows nearly every result completely. The JSON document is always complete.
const LIMITS: ReportLimits = ReportLimits { items: 200, text: 5_000, total: 200_000 };

pub(in crate::pages) struct ReportView {
    /// A note from LoopAI about the whole result.
    pub(in crate::pages) notice: Option<String>,
    pub(in crate::pages) summary: Option<String>,
    pub(in crate::pages) findings: Vec<FindingView>,
    pub(in crate::pages) recommendations: Vec<String>,
    pub(in crate::pages) details: Vec<(String, String)>,
    pub(in crate::pages) is_truncated: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::pages) struct FindingView {
    pub(in crate::pages) label: String,
    pub(in crate::pages) confidence: Option<Confidence>,
    pub(in crate::pages) description: Option<String>,
    /// Position of the photo.
    pub(in crate::pages) photo: Option<i32>,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::pages) enum Confidence {
    Percent(u8),
    /// Text from LoopAI.
    Other(String),
}

impl Confidence {
    pub(in crate::pages) fn text(&self, language: &Language) -> Text {
        let percent = match self {
            Self::Percent(percent) => *percent,
            Self::Other(text) => {
                return language.text("submission-confidence-other").arg("text", text.clone());
            }
        };
        let text = match percent {
            80.. => language.text("submission-confidence-high"),
            50..80 => language.text("submission-confidence-medium"),
            _ => language.text("submission-confidence-low"),
        };
        text.arg("percent", percent)
    }
}

impl ReportView {
    pub(in crate::pages) fn new(result: &DiagnosisResult, files: &[File]) -> Self {
        let mut report = Report::from_result(result);
        report.truncate(&LIMITS);
        let finding = |finding| FindingView::new(finding, files);
        Self {
            notice: report.notice,
            summary: report.summary,
            findings: report.findings.into_iter().map(finding).collect(),
            recommendations: report.recommendations,
            details: report.details,
            is_truncated: report.truncated,
        }
    }
}

impl FindingView {
    fn new(finding: Finding, files: &[File]) -> Self {
        let Finding { label, confidence, percent, description, file } = finding;
        // LoopAI only gets names such as `image-1.jpg`.
        let photo = files.iter().find(|it| file.as_ref() == Some(&it.neutral_name()));
        Self {
            label,
            confidence: percent
                .map(Confidence::Percent)
                .or_else(|| confidence.map(Confidence::Other)),
            description,
            photo: photo.map(|file| file.position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn view(result: Value) -> ReportView {
        let Value::Object(object) = result else { panic!("a result is an object") };
        ReportView::new(&DiagnosisResult::new(object), &[])
    }

    #[test]
    fn confidence_is_shown_as_a_percentage_only_if_it_is_one() {
        let view = view(json!({"findings": [
            {"label": "a", "confidence": 0.874},
            {"label": "b", "confidence": "likely"},
            {"label": "c", "confidence": 87},
            {"label": "d"},
        ]}));
        let confidence: Vec<_> = view.findings.into_iter().map(|it| it.confidence).collect();
        let other = |text: &str| Some(Confidence::Other(text.to_owned()));
        assert_eq!(confidence, [Some(Confidence::Percent(87)), other("likely"), other("87"), None]);
    }

    #[test]
    fn each_percentage_has_a_word() {
        for (percent, text) in [
            (0, "low (0%)"),
            (49, "low (49%)"),
            (50, "medium (50%)"),
            (79, "medium (79%)"),
            (80, "high (80%)"),
            (100, "high (100%)"),
        ] {
            let shown = Confidence::Percent(percent).text(&Language::English).to_string();
            assert_eq!(shown, format!("Confidence: {text}"));
        }
    }
}
