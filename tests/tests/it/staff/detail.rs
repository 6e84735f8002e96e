//! Tests of a submission's details and images. Reading clinical data requires a permission.

use diagflow_store::Role;
use diagflow_tests::responses::{body, refusal};
use diagflow_tests::{Stack, StackOptions, Staff, photos};
use serde_json::Value;

async fn assert_image_response(image: reqwest::Response) {
    assert_eq!(image.status(), 200);
    assert_eq!(image.headers()["content-type"], "image/jpeg");
    assert_eq!(image.headers()["cache-control"], "no-store");
    assert_eq!(image.headers()["x-content-type-options"], "nosniff");
    assert_eq!(image.headers()["content-security-policy"], "default-src 'none'; sandbox");
    let name = image.headers()["content-disposition"].to_str().expect("text").to_owned();
    assert!(name.starts_with("inline; filename=") && name.ends_with(".jpeg\""), "{name}");
    assert_eq!(image.bytes().await.expect("bytes"), photos::retina().bytes);
}

async fn assert_view_entries(stack: &Stack, id: &str, file_id: &str, staff: [&Staff; 2]) {
    let entries = stack
        .database
        .audit_rows(&format!(
            "SELECT CONCAT_WS(' ', action, result, actor_name, details) FROM audit \
             WHERE object_id = '{id}' AND result = 'success' ORDER BY number"
        ))
        .await;
    let [c, o] = staff.map(|it| &it.email);
    assert_eq!(
        entries,
        [
            format!(r#"submission_view success {c} {{"clinical":true}}"#),
            format!(r#"submission_view success {o} {{"clinical":false}}"#),
            format!(r#"file_view success {c} {{"file":"{file_id}"}}"#),
        ]
    );
}

#[tokio::test]
async fn clinical_data_in_submission_details_requires_permission() {
    let (stack, submission) = Stack::with_submission(StackOptions::default()).await;
    stack.wait_for_status(&submission, "completed").await;
    let id = &submission.submission_id;
    let path = format!("/api/admin/submissions/{id}");
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;

    let full = body(clinician.get(&path).await).await;
    let data = &full["data"];
    assert_eq!((&data["id"], &data["status"]), (&Value::from(id.as_str()), &"completed".into()));
    assert_eq!((&data["clinical"], &data["comments"]), (&true.into(), &"itches".into()));
    assert!(data["result"]["summary"].is_string(), "{data}");
    let steps: Vec<_> =
        data["events"].as_array().expect("events").iter().map(|e| &e["step"]).collect();
    assert_eq!(steps[..4], ["received", "diagnosing", "completed", "result_ready"]);
    assert_eq!(data["runs"][0]["number"], 1);
    assert!(data["runs"][0]["temporal_run_id"].is_string());
    assert_eq!(data["deliveries"][0]["kind"], "result");

    let restricted = body(operator.get(&path).await).await;
    let restricted = &restricted["data"];
    assert_eq!(
        (&restricted["clinical"], &restricted["status"]),
        (&false.into(), &"completed".into())
    );
    for absent in ["comments", "result"] {
        assert!(restricted.get(absent).is_none(), "{absent} in {restricted}");
    }
    assert!(
        restricted["files"][0].get("url").is_none() && restricted["files"][0].get("name").is_none()
    );
    assert_eq!(restricted["files"][0]["media_type"], "image/jpeg");
    assert!(!restricted.to_string().contains("itches"), "{restricted}");

    let file = data["files"][0]["url"].as_str().expect("a link");
    let image = clinician.get(file).await;
    assert_image_response(image).await;
    assert_eq!(refusal(operator.get(file).await).await, (403, "forbidden".to_owned()));

    let file_id = data["files"][0]["id"].as_str().expect("an id");
    assert_view_entries(&stack, id, file_id, [&clinician, &operator]).await;

    for missing in ["0b9f3c9e-1111-4222-8333-444444444444", "1", "../users"] {
        for path in ["submissions", "files"] {
            let response = clinician.get(&format!("/api/admin/{path}/{missing}")).await;
            assert_eq!(refusal(response).await.0, 404, "{path}/{missing}");
        }
    }

    // The status route returns the result to the patient and to staff with the `clinical:read` permission.
    let status = format!("/api/user/status/{id}");
    let patient = clinician.with_token(submission.access_token.clone());
    for (reader, is_clinical) in [(&clinician, true), (&operator, false), (&patient, true)] {
        let seen = body(reader.get(&status).await).await;
        assert_eq!(seen["result"].is_object(), is_clinical, "{}: {seen}", reader.email);
    }
    stack.stop().await;
}

#[tokio::test]
async fn failure_details_from_loopai_are_clinical_but_the_code_is_not() {
    let options = StackOptions::default().scenario("fail=the left eye is too dark");
    let (stack, submission) = Stack::with_submission(options).await;
    stack.wait_for_status(&submission, "failed").await;
    let path = format!("/api/admin/submissions/{}", submission.submission_id);
    for (role, is_clinical) in [(Role::Clinician, true), (Role::Operator, false)] {
        let staff = Staff::with_role(&stack, role).await;
        let data = body(staff.get(&path).await).await["data"].clone();
        assert_eq!(data["error_code"], "loopai_failed", "{role}");
        assert_eq!(data.to_string().contains("left eye"), is_clinical, "{role}: {data}");
    }
    stack.stop().await;
}
