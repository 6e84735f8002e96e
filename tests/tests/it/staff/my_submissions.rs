//! Tests that users can read their own submissions and that only staff can read those of others.

use diagflow_store::Role;
use diagflow_tests::client::expect_accepted;
use diagflow_tests::responses::{body, members, refusal};
use diagflow_tests::{ApiClient, Stack, StackOptions, Staff, photos};
use reqwest::Method;
use serde_json::{Value, json};

async fn submit(staff: &Staff) -> String {
    let sent = ApiClient::submission_body("ana@example.org", "itches", &[photos::retina()]);
    expect_accepted(staff.post("/api/user/submit", &sent).await).await.submission_id
}

#[tokio::test]
async fn users_read_their_own_submissions_and_staff_read_all() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let clinic = Staff::with_role(&stack, Role::Institution).await;
    let patient = Staff::with_role(&stack, Role::Patient).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let own = [submit(&clinic).await, submit(&clinic).await];
    let other = submit(&patient).await;
    let anonymous = stack.client.submit("bo@example.org", "", &[photos::retina()]).await;

    let list = body(clinic.get("/api/v1/submissions?sort=created_at").await).await;
    assert_eq!(members(&list, "id"), own);
    assert_eq!(list["pagination"]["total"], 2);
    for staff_only in ["comments", "note", "assignee"] {
        assert!(list["data"][0].get(staff_only).is_none(), "{staff_only} in {list}");
    }
    let list = body(clinic.get("/api/v1/submissions?per_page=1").await).await;
    assert_eq!(members(&list, "id"), own[1..]);
    assert!(list["pagination"]["next_cursor"].is_string());
    let wrong = clinic.get("/api/v1/submissions?status=failed").await;
    assert_eq!(refusal(wrong).await, (400, "invalid_query".to_owned()));
    let staffs = operator.get("/api/v1/submissions").await;
    assert_eq!(refusal(staffs).await, (403, "forbidden".to_owned()));

    let status = async |staff: &Staff, id: &str| {
        staff.get(&format!("/api/user/status/{id}")).await.status().as_u16()
    };
    let stream = async |staff: &Staff, id: &str| {
        staff.get(&format!("/api/user/events/{id}")).await.status().as_u16()
    };
    for (reader, opens) in [
        (&clinic, [true, false, false]),
        (&patient, [false, true, false]),
        (&operator, [true, true, true]),
    ] {
        let all = [own[0].as_str(), other.as_str(), anonymous.submission_id.as_str()];
        for (id, open) in all.into_iter().zip(opens) {
            let expected = if open { 200 } else { 404 };
            assert_eq!(status(reader, id).await, expected, "status for {}", reader.email);
            assert_eq!(stream(reader, id).await, expected, "events for {}", reader.email);
        }
    }
    let path = format!("/api/user/status/{other}");
    assert_eq!(refusal(clinic.get(&path).await).await, (404, "not_found".to_owned()));
    assert_eq!(refusal(stack.client.get(&path).await).await, (401, "token_required".to_owned()));

    let entries = stack
        .database
        .texts(&format!(
            "SELECT CONCAT_WS(' ', action, result, actor_name) FROM audit WHERE object_id = '{other}' \
             AND action = 'submission_view' ORDER BY number LIMIT 5"
        ))
        .await;
    let refused = format!("submission_view not_found {}", clinic.email);
    let (owner, staff) = (
        format!("submission_view success {}", patient.email),
        format!("submission_view success {}", operator.email),
    );
    assert_eq!(entries, [refused.clone(), refused, owner.clone(), owner, staff]);
    stack.stop().await;
}

/// Signs in as a browser does. Returns the session cookie and the CSRF token.
async fn sign_in_with_cookies(
    stack: &Stack,
    http: &reqwest::Client,
    email: &str,
) -> (String, String) {
    let sign_in = json!({
        "email": email, "password": diagflow_tests::staff::PASSWORD, "cookies": true
    });
    let login = http.post(stack.client.url("/api/v1/auth/login")).json(&sign_in);
    let login = login.send().await.expect("a response");
    let cookies: Vec<_> = login.headers().get_all("set-cookie").iter().collect();
    let pair = |cookie: &&reqwest::header::HeaderValue| {
        let text = cookie.to_str().expect("text");
        text.split(';').next().expect("a pair").to_owned()
    };
    let cookie = cookies.iter().map(pair).find(|pair| pair.starts_with("diagflow_session="));
    let cookie = cookie.expect("a session's cookie");
    let body: Value = login.json().await.expect("JSON");
    (cookie, body["csrf_token"].as_str().expect("a token").to_owned())
}

#[tokio::test]
async fn a_valid_session_is_recorded_as_the_submitter_and_an_invalid_one_is_rejected() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let patient = Staff::with_role(&stack, Role::Patient).await;
    let sent = ApiClient::submission_body("ana@example.org", "", &[photos::retina()]);
    let sender = async |id: &str| {
        let query = format!("SELECT COALESCE(submitted_by, '') FROM submissions WHERE id = '{id}'");
        stack.database.texts(&query).await.remove(0)
    };

    let without = stack.client.post(&sent, None).await.expect("a response");
    assert_eq!(sender(&expect_accepted(without).await.submission_id).await, "");
    assert_eq!(sender(&submit(&patient).await).await, patient.id.to_string());

    // A session cookie identifies the account only if the CSRF token is sent as well.
    let http = reqwest::Client::new();
    let (cookie, csrf) = sign_in_with_cookies(&stack, &http, &patient.email).await;
    let call = || {
        let call = http.post(stack.client.url("/api/user/submit")).json(&sent);
        call.header("cookie", &cookie)
    };
    let forged = expect_accepted(call().send().await.expect("a response")).await;
    assert_eq!(
        sender(&forged.submission_id).await,
        "",
        "a submission without a CSRF token must be anonymous"
    );
    let page = call().header("x-csrf-token", &csrf);
    let page = expect_accepted(page.send().await.expect("a response")).await;
    assert_eq!(sender(&page.submission_id).await, patient.id.to_string());

    let rows = stack.database.count_rows("submissions").await;
    patient.request(Method::POST, "/api/v1/auth/logout").send().await.expect("a response");
    let ended = patient.post("/api/user/submit", &sent).await;
    assert_eq!(refusal(ended).await, (401, "session_ended".to_owned()));
    assert_eq!(
        stack.database.count_rows("submissions").await,
        rows,
        "a rejected submission was stored"
    );
    // Browsers keep sending the cookie after its session has ended, so such a submission is accepted as anonymous.
    let after_logout = http.post(stack.client.url("/api/user/submit")).json(&sent);
    let after_logout = after_logout.header("cookie", "diagflow_session=nonsense").send().await;
    assert_eq!(
        sender(&expect_accepted(after_logout.expect("a response")).await.submission_id).await,
        ""
    );
    let unknown = patient.with_token("nonsense".to_owned());
    let response = unknown.post("/api/user/submit", &sent).await;
    assert_eq!(refusal(response).await, (401, "token_invalid".to_owned()));
    assert_eq!(
        stack.database.count_rows("submissions").await,
        rows + 1,
        "a rejected submission was stored"
    );
    stack.stop().await;
}
