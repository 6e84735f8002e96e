//! Checks that the current workflow code replays every recorded history, and that workflow code with an incompatible
//! change does not.

use base64::Engine;
use diagflow_tests::cases::Case;
use diagflow_tests::{history, replay};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn every_case_is_recorded() {
    let histories = replay::histories();
    for case in Case::ALL {
        let prefix = format!("{}.", case.name());
        assert!(
            histories.keys().any(|name| name.starts_with(&prefix)),
            "{case:?} is not recorded: run `cargo xtask record`"
        );
    }
}

#[tokio::test]
async fn every_recorded_history_replays() {
    let failures = replay::failures().await;
    assert!(failures.is_empty(), "see docs/CHANGING-WORKFLOWS.md\n{}", failures.join("\n"));
}

#[tokio::test]
async fn each_incompatible_change_is_caught_by_exactly_the_histories_that_reach_it() {
    assert_eq!(replay::wrong_verdicts_on_incompatible_changes().await, Vec::<String>::new());
}

/// Returns the path and JSON of each recorded history.
fn documents() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(history::recordings()).expect("recorded histories");
    files
        .map(|file| {
            let path = file.expect("a file").path();
            let document = std::fs::read(&path).expect("readable");
            (path.display().to_string(), serde_json::from_slice(&document).expect("JSON"))
        })
        .collect()
}

#[test]
fn no_recorded_history_contains_personal_data() {
    for (path, document) in documents() {
        let text = history::decode_payloads(&document);
        let is_decoded = text.contains("submission_id") || text.contains("delivery_id");
        assert!(is_decoded, "{path} is not decoded");
        // `Case::play` sends each of these secrets in every case.
        for secret in ["ana@example.org", "since Monday", "retina.jpg", "no agent is free"] {
            assert!(!text.contains(secret), "{secret:?} is in {path}");
        }
        assert_eq!(history::possible_personal_data(&document), Vec::<String>::new(), "in {path}");
    }
}

#[test]
fn personal_data_is_detected_anywhere_in_a_history() {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let long = "x".repeat(100);
    for personal in ["ben.li@praxis.example", "a rash on my arm", long.as_str()] {
        let inner = json!({ "input": [{ "deep": personal }] }).to_string();
        let payload = json!({ "payloads": [{ "data": encode(&inner) }] });
        let plain = json!({ "failure": { "message": encode(personal) } });
        let raw = json!({ "failure": { "message": personal } });
        let name = json!({ personal: 1 });
        for planted in [payload, plain, raw, name] {
            let (path, mut document) = documents().pop_first().expect("a history");
            let events = document["events"].as_array_mut().expect(&path);
            events[0]["planted"] = planted;
            assert_eq!(history::possible_personal_data(&document), [personal]);
        }
    }
}
