//! Tests of the plain-text and HTML bodies of e-mails.

use super::submit_with_rules;
use diagflow_simulators::mail::Mail;
use diagflow_store::Role;
use diagflow_tests::assertions::{failed, mails, wait_completed_once, wait_ended_once};
use diagflow_tests::photos::{self, Photo};
use diagflow_tests::{Stack, StackOptions, Staff, responses};
use serde_json::{Value, json};

const NOT_A_DOCTOR: &str = "The result does not replace a visit to a doctor.";
const EMERGENCY: &str = "If you feel unwell or your symptoms get worse, do not wait: call your doctor or, \
    in an emergency, the emergency number.";

/// Returns the plain-text and HTML bodies of an e-mail, each on one line, in lower case and without markup.
fn bodies(mail: &Mail) -> [String; 2] {
    let text = mail.text.as_deref().expect("text");
    let html = mail.html.as_deref().expect("HTML");
    let begins_at_body = html.find("<body").expect("a body");
    let spoken =
        html[begins_at_body..].split('<').filter_map(|piece| Some(piece.split_once('>')?.1));
    [readable(text), readable(&spoken.collect::<Vec<_>>().join(" "))]
}

fn readable(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Asserts that the body contains all expected texts in the given order.
fn assert_contains_in_order<'a>(body: &str, expected: impl IntoIterator<Item = &'a str>) {
    let mut rest = body;
    for text_part in expected {
        let text_part = readable(text_part);
        let (_, behind) = rest
            .split_once(&text_part)
            .unwrap_or_else(|| panic!("no {text_part:?} in {rest:?} of {body}"));
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

/// Returns the full text of a finding in the e-mail. The tests compare the full text because other sentences in the
/// e-mail also mention the finding's image.
fn finding_text(finding: &Value) -> String {
    let share = finding["confidence"].as_f64().expect("a confidence");
    let (label, description) = (text(finding, "label"), text(finding, "description"));
    let image = text(finding, "file").trim_start_matches("image-").trim_end_matches(".jpg");
    format!("{label} {description} Confidence: {:.0}% Image {image}", share * 100.0)
}

#[tokio::test]
async fn the_result_email_has_the_full_result_the_next_steps_and_the_data_notice() {
    let (stack, accepted) = submit_with_rules([]).await;

    let document = wait_completed_once(&stack, &accepted).await;

    let result = &document["result"];
    let reference = format!("Reference: {}", accepted.submission_id);
    let advice = list(result, "recommendations").iter().filter_map(Value::as_str);
    let advice: Vec<_> = advice.map(|text| text.replace("image-1.jpg", "image 1")).collect();
    for body in bodies(&mails(&stack, &accepted)[0]) {
        let opening = [text(result, "notice"), text(result, "summary"), "What was found"];
        let findings: Vec<_> = list(result, "findings").iter().map(finding_text).collect();
        let expected = opening.into_iter().chain(findings.iter().map(String::as_str));
        let expected =
            expected.chain(["What is recommended"]).chain(advice.iter().map(String::as_str));
        let closing = [
            "What to do next",
            NOT_A_DOCTOR,
            EMERGENCY,
            "What happens to your data",
            "until you ask us to delete them. To ask us, just reply to this e-mail.",
            "The AI platform received your photos and comments, but not your e-mail address.",
            &reference,
        ];
        assert_contains_in_order(&body, expected.chain(closing));
        assert!(result["measurements"].is_array() && !body.contains("clipped_"), "{body}");
        assert!(
            !body.contains("dominant colours"),
            "the e-mail contains an unknown field of the result: {body}"
        );
    }
    stack.stop().await;
}

#[tokio::test]
async fn links_and_file_names_from_the_submitter_are_not_emailed() {
    const NAME: &str = "Urgent - pay at www.evil.example.jpg";
    const HOSTILE: &str =
        "Mole\u{202e}: pay at https://evil.example/x, www.evil.example or pay@evil.example now";
    let stack = Stack::with(StackOptions::default().scenario("stuck")).await;
    let photo = Photo { name: NAME, ..photos::retina() };
    let accepted = stack.client.submit("ana@example.org", HOSTILE, &[photo]).await;
    let execution = stack.wait_for_polls(1).await;
    let finding = json!({"label": HOSTILE, "description": HOSTILE, "file": NAME});
    let known = json!({"label": "Known", "file": "image-1.jpg"});
    let result = json!({
        "notice": HOSTILE,
        "summary": HOSTILE,
        "findings": [finding, known],
        "recommendations": [HOSTILE, "Take image-1.jpg again."],
        "files": [{"name": NAME}],
    });
    stack.loopai.complete_with(&execution, result.clone()).expect("in progress");

    let document = wait_completed_once(&stack, &accepted).await;

    assert!(document["result"] == result, "the stored result was changed");
    for body in bodies(&mails(&stack, &accepted)[0]) {
        let shown = "Mole: pay at [link removed], [link removed] or [link removed] now";
        let expected = [shown, shown, shown, shown, "Known Image 1", shown, "Take image 1 again."];
        assert_contains_in_order(&body, expected);
        // The only link is that to the submission's page.
        let body = body.replace(&stack.client.url("/s/"), "");
        for word in ["evil", "urgent", "\u{202e}", ".jpg", "://"] {
            assert!(!body.contains(word), "{word:?} in {body}");
        }
    }
    stack.stop().await;
}

#[tokio::test]
async fn unknown_fields_of_a_result_are_in_the_api_but_not_in_the_email() {
    let stack = Stack::with(StackOptions::default().scenario("stuck")).await;
    let accepted = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;
    let execution = stack.wait_for_polls(1).await;
    let result = json!({
        "summary": "All well",
        "findings": [{"label": "Mole", "asymmetry_index": 0.731}],
        "measurements": [{"dominant_colours": [{"hex": "#a0522d"}]}],
        "model_version": "derma-7",
    });
    stack.loopai.complete_with(&execution, result.clone()).expect("in progress");

    let document = wait_completed_once(&stack, &accepted).await;

    assert_eq!(document["result"], result, "the API must return unknown fields");
    let staff = Staff::with_role(&stack, Role::Clinician).await;
    let path = format!("/api/admin/submissions/{}", accepted.submission_id);
    let detail = responses::body(staff.get(&path).await).await;
    assert_eq!(detail["data"]["result"], result, "{detail}");
    let mail = &mails(&stack, &accepted)[0];
    for body in bodies(mail) {
        assert_contains_in_order(&body, ["All well", "Mole"]);
    }
    for unknown in ["asymmetry", "731", "measurements", "dominant", "a0522d", "derma-7"] {
        for body in [&mail.text, &mail.html] {
            let body = body.as_deref().expect("a body");
            assert!(!body.contains(unknown), "{unknown} in {body}");
        }
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_failure_email_does_not_blame_the_photos_for_an_internal_failure() {
    let options = StackOptions::default().scenario("diagnose=422");
    let (stack, accepted) = Stack::with_submission(options).await;

    let mail = wait_ended_once(&stack, &accepted, failed("loopai_refused")).await;

    for body in bodies(&mail) {
        let expected = [
            "We could not complete your diagnosis",
            "Sorry, something went wrong on our side",
            "There is nothing wrong with your photos.",
            "Please send your photos again later, or see a doctor. Our team can see what happened",
        ];
        assert_contains_in_order(&body, expected);
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_failure_email_has_the_next_steps_and_the_data_notice() {
    let options = StackOptions::default().scenario("fail=too dark");
    let (stack, accepted) = Stack::with_submission(options).await;

    let mail = wait_ended_once(&stack, &accepted, failed("loopai_failed")).await;

    let reference = format!("Reference: {}", accepted.submission_id);
    for body in bodies(&mail) {
        let expected = [
            "We could not complete your diagnosis",
            "Sorry, we could not analyse your photos.",
            "What to do next",
            "Please take new photos and send them to us, or see a doctor.",
            EMERGENCY,
            "What happens to your data",
            "until you ask us to delete them. To ask us, just reply to this e-mail.",
            &reference,
        ];
        assert_contains_in_order(&body, expected);
    }
    stack.stop().await;
}
