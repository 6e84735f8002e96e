//! Terminal output. Any write can fail because the program reading the output may exit at any time
//! (`diagflow submit … | head`).

use super::client::AcceptedSubmission;
use diagflow_store::DiagnosisResult;
use diagflow_store::{Report, ReportLimits};
use serde_json::Value;
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

const LIMITS: ReportLimits = ReportLimits { items: 200, text: 100_000, total: 100_000 };

pub(super) fn accepted(out: &mut impl Write, accepted: &AcceptedSubmission) -> io::Result<()> {
    writeln!(out, "Accepted: submission {}\n", Sanitized(&accepted.submission_id))
}

pub(super) fn event(out: &mut impl Write, after: Duration, event: &Value) -> io::Result<()> {
    let status = event["status"].as_str().unwrap_or("?");
    let message = Sanitized(event["message"].as_str().unwrap_or_default());
    writeln!(out, "{:>6.1} s  {status:<11} {message}", after.as_secs_f64())
}

pub(super) fn interruption(out: &mut impl Write, error: &dyn fmt::Display) -> io::Result<()> {
    writeln!(out, "          interrupted, resuming ({error})")
}

pub(super) fn result(out: &mut impl Write, status: &Value) -> io::Result<()> {
    writeln!(out)?;
    if let Value::Object(result) = &status["result"] {
        let mut shown = Report::from_result(&DiagnosisResult::new(result.clone()));
        shown.truncate(&LIMITS);
        return report(out, &shown);
    }
    match status["error"]["message"].as_str() {
        Some(message) => writeln!(out, "{}", Sanitized(message)),
        None => Ok(()),
    }
}

fn report(out: &mut impl Write, report: &Report) -> io::Result<()> {
    if let Some(notice) = &report.notice {
        writeln!(out, "Please note: {}\n", Sanitized(notice))?;
    }
    if let Some(summary) = &report.summary {
        writeln!(out, "{}\n", Sanitized(summary))?;
    }
    for finding in &report.findings {
        let confidence = Sanitized(finding.confidence.as_deref().unwrap_or("-")).to_string();
        writeln!(out, "  {confidence:>6}  {}", Sanitized(&finding.label))?;
        let description = Sanitized(finding.description.as_deref().unwrap_or_default());
        let file = Sanitized(finding.file.as_deref().unwrap_or_default());
        writeln!(out, "          {description} {file}")?;
    }
    if !report.recommendations.is_empty() {
        writeln!(out, "\nRecommended:")?;
    }
    for item in &report.recommendations {
        writeln!(out, "  - {}", Sanitized(item))?;
    }
    if !report.details.is_empty() {
        writeln!(out, "\nAlso in the result:")?;
    }
    for (name, value) in &report.details {
        writeln!(out, "  {}: {}", Sanitized(name), Sanitized(value))?;
    }
    if report.truncated {
        writeln!(out, "\nThe result is too long to show in full. Only the first part is shown.")?;
    }
    Ok(())
}

/// Displays received text without control characters, which the terminal would interpret.
struct Sanitized<'a>(&'a str);

impl fmt::Display for Sanitized<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split_inclusive(|c: char| c.is_control()).try_for_each(|part| {
            let text = part.trim_end_matches(|c: char| c.is_control() && c != '\n');
            f.write_str(text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn printed(body: Value) -> String {
        let mut out = Vec::new();
        result(&mut out, &json!({ "result": body })).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn unknown_fields_of_a_result_are_printed_up_to_a_limit() {
        let text = printed(json!({
            "summary": "All well",
            "recommendations": ["Rest"],
            "model": {"name": "m1"},
            "urgent": true,
        }));
        let unknown =
            "\nRecommended:\n  - Rest\n\nAlso in the result:\n  model, name: m1\n  urgent: yes\n";
        assert!(text.ends_with(unknown), "{text}");
        let many: Vec<_> = (0..1000).map(|n| json!({"n": n})).collect();
        let text = printed(json!({"many": many}));
        assert!(text.lines().count() < 210 && text.contains("too long"), "{text}");
    }

    #[test]
    fn control_characters_are_removed_from_a_result() {
        let text = printed(json!({"summary": "a\u{1b}[31mred\u{7}\nb", "x\u{9b}": "y\r"}));
        assert!(text.contains("a[31mred\nb"), "{text:?}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}
