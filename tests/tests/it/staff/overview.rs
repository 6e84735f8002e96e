//! Tests of the overview's figures in the API. `store::overview` tests the queries.

use diagflow_store::Role;
use diagflow_tests::assertions::wait_completed_once;
use diagflow_tests::responses::{body, refusal};
use diagflow_tests::{Stack, StackOptions, Staff, eventually, photos};
use serde_json::{Value, json};

async fn overview(staff: &Staff) -> Value {
    body(staff.get("/api/admin/overview").await).await
}

fn count(overview: &Value, status: &str) -> i64 {
    let states = overview["states"].as_array().expect("states");
    let state = states.iter().find(|state| state["status"] == status).expect("the state");
    state["count"].as_i64().expect("a number")
}

#[tokio::test]
async fn the_overview_shows_what_happened_to_submissions() {
    let options = StackOptions::default().scenario("delay=0s, diagnose=400*1");
    let stack = Stack::with(options).await;
    let operator = Staff::with_role(&stack, Role::Operator).await;
    let photos = [photos::retina()];
    let failed = stack.client.submit("ana@example.org", "", &photos).await;
    stack.wait_for_status(&failed, "failed").await;
    for _ in 0..3 {
        let completed = stack.client.submit("ana@example.org", "", &photos).await;
        wait_completed_once(&stack, &completed).await;
    }

    let shown = overview(&operator).await;

    let hours = shown["submissions_per_hour"].as_array().expect("hours");
    let received = hours.iter().map(|hour| hour["received"].as_i64().expect("a number"));
    assert_eq!((hours.len(), received.sum()), (48, 4));
    let counts = ["completed", "failed", "pending"].map(|status| count(&shown, status));
    assert_eq!(counts, [3, 1, 0]);
    let outcomes = json!({
        "completed": 3, "failed": 1, "failure_rate": 0.25,
        "causes": [{"error_code": "loopai_refused", "count": 1, "rate": 0.25}],
    });
    assert_eq!(shown["outcomes_last_day"], outcomes);
    assert_eq!(shown["outcomes_last_week"], outcomes);
    let times = &shown["time_to_result"];
    assert_eq!(times["submissions"], 3);
    let seconds = |name: &str| times[name].as_f64().expect("a number");
    assert!(0.0 < seconds("median_seconds"), "{times}");
    assert!(seconds("median_seconds") <= seconds("p95_seconds"), "{times}");
    assert_eq!(shown["oldest_waiting"], Value::Null);
    let loopai =
        json!({"running": 0, "last_hour": 4, "waiting": 0, "failing": 0, "breaker": "closed"});
    assert_eq!(shown["loopai"], loopai);
    assert_eq!(shown["emails"], json!({"overdue": 0, "failed": 0, "unknown": 0}));
    let workers = shown["workers"].as_array().expect("workers");
    assert_eq!(workers.len(), 1, "{workers:?}");
    assert!(workers[0]["identity"].as_str().expect("text").starts_with("diagflow-worker-"));
    assert_eq!((&shown["stuck"], &shown["overdue"]), (&json!(0), &json!(0)));

    // The status of the next submission uses the same times, rounded up.
    stack.loopai.set_scenario("stuck".parse().expect("a scenario"));
    let next = stack.client.submit("ana@example.org", "", &photos).await;
    // The API may have cached for a few seconds that there were too few results.
    let usually = eventually("the usual time", || async {
        stack.client.status(&next).await.expect("a response")["usually_seconds"].as_u64()
    })
    .await;
    assert!(usually >= 10 && usually.is_multiple_of(10), "{usually}");
    assert!(usually as f64 >= seconds("median_seconds"), "{usually}");
    stack.stop().await;
}

#[tokio::test]
async fn the_overview_is_served_without_a_worker_and_shows_the_oldest_waiting_submission() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let clinician = Staff::with_role(&stack, Role::Clinician).await;
    let patient = Staff::with_role(&stack, Role::Patient).await;
    let submission = stack.client.submit("ana@example.org", "", &[photos::retina()]).await;

    let shown = overview(&clinician).await;

    assert_eq!(shown["workers"], json!([]));
    assert_eq!(shown["oldest_waiting"]["submission_id"], submission.submission_id.as_str());
    assert_eq!(shown["outcomes_last_day"]["failure_rate"], Value::Null);
    assert_eq!(shown["time_to_result"], Value::Null);
    let refused = refusal(patient.get("/api/admin/overview").await).await;
    assert_eq!(refused, (403, "forbidden".to_owned()));
    stack.stop().await;
}
