//! What e-mails say, in both of their bodies.

use super::submitted;
use diagflow_simulators::mail::Mail;
use diagflow_tests::invariants::{completed_once, ended_once, failed, mails};
use diagflow_tests::{Stack, StackOptions};
use serde_json::Value;

const NO_DOCTOR: &str = "It does not replace a doctor.";
const EMERGENCY: &str = "If you feel unwell or your symptoms get worse, do not wait: call your doctor or, \
    in an emergency, the emergency number.";

/// Both bodies as people read them: without marks, in lines of any length, and with headings in any case.
fn bodies(mail: &Mail) -> [String; 2] {
    let text = mail.text.as_deref().expect("a text");
    let html = mail.html.as_deref().expect("HTML");
    let begins_at_body = html.find("<body").expect("a body");
    let spoken =
        html[begins_at_body..].split('<').filter_map(|piece| Some(piece.split_once('>')?.1));
    [readable(text), readable(&spoken.collect::<Vec<_>>().join(" "))]
}

fn readable(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Finds each of these, behind the one before it.
fn assert_says_in_order<'a>(body: &str, expected: impl IntoIterator<Item = &'a str>) {
    let mut rest = body;
    for words in expected {
        let words = readable(words);
        let (_, behind) =
            rest.split_once(&words).unwrap_or_else(|| panic!("no {words:?} in {rest:?} of {body}"));
        rest = behind;
    }
}

fn list<'a>(result: &'a Value, name: &str) -> &'a [Value] {
    let items = result[name].as_array().filter(|items| !items.is_empty());
    items.unwrap_or_else(|| panic!("no {name} in {result}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// A finding as the two bodies tell it. Whole, since other words name its image too.
fn told(finding: &Value) -> [String; 2] {
    let share = finding["confidence"].as_f64().expect("a confidence");
    let label = format!("{} ({:.0} % confidence)", text(finding, "label"), share * 100.0);
    let (file, description) = (text(finding, "file"), text(finding, "description"));
    [format!("{label}, in {file} {description}"), format!("{label} {description} Image: {file}")]
}

#[tokio::test]
async fn a_result_is_told_whole_with_what_to_do_and_how_data_is_kept() {
    let (stack, accepted) = submitted([]).await;

    let document = completed_once(&stack, &accepted).await;

    let result = &document["result"];
    let reference = format!("Reference: {}", accepted.submission_id);
    let advice = list(result, "recommendations").iter().filter_map(Value::as_str);
    for (place, body) in bodies(&mails(&stack, &accepted)[0]).into_iter().enumerate() {
        let heads = [text(result, "notice"), text(result, "summary"), "What was found"];
        let findings = list(result, "findings").iter().map(|it| told(it)[place].clone());
        let findings: Vec<_> = findings.collect();
        let said = heads.into_iter().chain(findings.iter().map(String::as_str));
        let said = said.chain(["What is recommended"]).chain(advice.clone());
        let ends = [
            "Details",
            "What to do next",
            NO_DOCTOR,
            EMERGENCY,
            "How your data is kept",
            "kept by us until you ask us to delete them: answer this e-mail.",
            "The AI platform received your images and comments, but not your e-mail address.",
            &reference,
        ];
        assert_says_in_order(&body, said.chain(ends));
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_failure_of_ours_is_not_put_down_to_the_images() {
    let options = StackOptions::default().scenario("diagnose=422");
    let (stack, accepted) = Stack::with_submission(options).await;

    let mail = ended_once(&stack, &accepted, failed("loopai_refused")).await;

    for body in bodies(&mail) {
        let said = [
            "We could not complete your diagnosis",
            "Something went wrong on our side",
            "Your images are not the cause.",
            "You need not do anything: our staff can see this",
        ];
        assert_says_in_order(&body, said);
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_failure_is_told_with_what_to_do_and_how_data_is_kept() {
    let options = StackOptions::default().scenario("fail=too dark");
    let (stack, accepted) = Stack::with_submission(options).await;

    let mail = ended_once(&stack, &accepted, failed("loopai_failed")).await;

    let reference = format!("Reference: {}", accepted.submission_id);
    for body in bodies(&mail) {
        let said = [
            "We could not complete your diagnosis",
            "The analysis of your images did not succeed.",
            "What to do next",
            "You can send your images again",
            EMERGENCY,
            "How your data is kept",
            "kept by us until you ask us to delete them: answer this e-mail.",
            &reference,
        ];
        assert_says_in_order(&body, said);
    }
    stack.stop().await;
}
