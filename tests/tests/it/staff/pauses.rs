//! Tests of the routes with which staff pause and resume parts of the service.

use diagflow_store::Role;
use diagflow_tests::responses::{body, refusal};
use diagflow_tests::{Stack, StackOptions, Staff};
use serde_json::{Value, json};

const REQUESTS: &str = "/api/admin/pauses/loopai_requests";

#[tokio::test]
async fn a_pause_shows_who_set_it_and_is_audited() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let clinician = Staff::with_role(&stack, Role::Clinician).await;

    let pause = json!({"paused": true, "reason": "LoopAI is being updated"});
    let first = body(operator.put(REQUESTS, &pause).await).await;
    let repeated = json!({"paused": true, "reason": "I did not see the first pause"});
    let second = body(admin.put(REQUESTS, &repeated).await).await;

    assert_eq!((&first["changed"], &second["changed"]), (&json!(true), &json!(false)));
    assert_eq!(first["pause"], second["pause"]);
    let listed = body(clinician.get("/api/admin/pauses").await).await;
    assert_eq!(listed["data"][0], first["pause"]);
    let shown = &listed["data"][0];
    assert_eq!(shown["reason"], "LoopAI is being updated");
    let paused_by = json!({"id": operator.id.to_string(), "email": operator.email});
    assert_eq!(shown["paused_by"], paused_by);
    assert!(shown["paused_at"].is_string(), "{shown}");
    let nothing = json!({
        "target": "emails", "paused": false, "reason": null, "paused_by": null, "paused_at": null
    });
    assert_eq!(listed["data"][1], nothing);

    let resume = json!({"paused": false, "reason": "The update is done"});
    let resumed = body(admin.put(REQUESTS, &resume).await).await;

    let expected = json!({
        "target": "loopai_requests", "paused": false, "reason": null, "paused_by": null, "paused_at": null
    });
    assert_eq!((&resumed["changed"], &resumed["pause"]), (&json!(true), &expected));
    let paused = admin.audit("action=service_pause").await;
    let results: Vec<&Value> = paused.iter().map(|entry| &entry["result"]).collect();
    assert_eq!(results, ["unchanged", "success"]);
    assert_eq!(paused[1]["details"]["target"], "loopai_requests");
    assert_eq!(paused[1]["details"]["reason"], "LoopAI is being updated");
    let resumed = admin.audit("action=service_resume").await;
    assert_eq!((resumed.len(), &resumed[0]["result"]), (1, &json!("success")));
    assert_eq!(resumed[0]["details"]["reason"], "The update is done");
    stack.stop().await;
}

#[tokio::test]
async fn invalid_pauses_are_rejected() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let valid = json!({"paused": true, "reason": "a test"});

    for (staff, path, request, expected) in [
        (&operator, REQUESTS, json!({"paused": true}), (400, "reason_required")),
        (&operator, REQUESTS, json!({"reason": "a test"}), (400, "invalid_input")),
        (&operator, "/api/admin/pauses/uploads", valid.clone(), (404, "not_found")),
        (&clinician, REQUESTS, valid, (403, "forbidden")),
    ] {
        let response = staff.put(path, &request).await;
        assert_eq!(refusal(response).await, (expected.0, expected.1.to_owned()), "{request}");
    }

    assert_eq!(stack.database.count_rows("pauses").await, 0);
    stack.stop().await;
}
