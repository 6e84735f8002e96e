//! What the terminal shows.

use super::client::Accepted;
use diagflow_activities::report::Report;
use diagflow_store::DiagnosisResult;
use serde_json::Value;
use std::time::Duration;

pub(super) fn accepted(accepted: &Accepted) {
    println!("Accepted: submission {}", accepted.submission_id);
    println!("Follow it at {}\n", accepted.events_url);
}

pub(super) fn event(after: Duration, event: &Value) {
    let status = event["status"].as_str().unwrap_or("?");
    let message = event["message"].as_str().unwrap_or_default();
    println!("{:>6.1} s  {status:<11} {message}", after.as_secs_f64());
}

pub(super) fn interruption(error: &anyhow::Error) {
    println!("          connection lost, resuming ({error})");
}

pub(super) fn result(status: &Value) {
    println!();
    if let Value::Object(result) = &status["result"] {
        report(&Report::of(&DiagnosisResult::new(result.clone())));
    } else if let Some(message) = status["error"]["message"].as_str() {
        println!("{message}");
    }
}

fn report(report: &Report) {
    if let Some(notice) = &report.notice {
        println!("Please note: {notice}\n");
    }
    if let Some(summary) = &report.summary {
        println!("{summary}\n");
    }
    for finding in &report.findings {
        let confidence = finding.confidence.as_deref().unwrap_or("-");
        println!("  {confidence:>6}  {}", finding.label);
        let file = finding.file.as_deref().unwrap_or_default();
        let description = finding.description.as_deref().unwrap_or_default();
        println!("          {description} {file}");
    }
    if !report.recommendations.is_empty() {
        println!("\nRecommended:");
    }
    for item in &report.recommendations {
        println!("  - {item}");
    }
}
