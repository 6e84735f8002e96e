//! The clock of a machine.

use crate::faults::ledger::End;
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::servers;
use crate::stack::StackOptions;
use crate::staff::Staff;
use diagflow_store::Role;
use serde_json::json;

/// The API's clock goes an hour before everybody else's, and an hour after it. Images go by links, whose end the
/// worker reckons and the API checks.
pub(crate) async fn off_by_an_hour() -> Report {
    off_by("+1h").await.and(off_by("-1h").await)
}

async fn off_by(hour: &str) -> Report {
    let options = StackOptions::default()
        .with("LOOPAI_IMAGES", "url")
        // Longer than clocks may differ, as docs/loopai.md says.
        .with("LOOPAI_IMAGE_URL_SECONDS", "7200");
    let mut world = World::without_processes(options).await;
    let fake = [
        ("LD_PRELOAD", servers::faketime().display().to_string()),
        ("FAKETIME", hour.to_owned()),
        // Time limits go by the other clock, which is not off.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    for (name, value) in &fake {
        world.stack.set(name, value);
    }
    world.stack.start_api().await;
    for (name, _) in &fake {
        world.stack.unset(name);
    }
    world.stack.start_worker().await;
    assert!(is_off(&world).await, "the API tells another time");

    let submission = world.submit_saying("[sim: fail*1, delay=100ms]").await;
    world.ends(&submission, &[End::failed("loopai_failed"), End::COMPLETED]);
    world.stack.until(&submission, "failed").await;
    let staff = Staff::with_role(&world.stack, Role::Operator).await;
    let path = format!("/api/admin/submissions/{}/retry", submission.submission_id);
    let answer = staff.post(&path, &json!({"reason": "the clock is off"})).await;
    assert!(answer.status().is_success(), "{}", answer.status());
    world.moved(&submission, "submission_retry");
    world.stack.until(&submission, "completed").await;
    world.report().await
}

/// Whether the API's clock differs from ours by more than half an hour, by the `Date` of its answers.
async fn is_off(world: &World) -> bool {
    let answer = world.stack.client.get("/health").await;
    let date = answer.headers()["date"].to_str().expect("a text").to_owned();
    let told = chrono::DateTime::parse_from_rfc2822(&date).expect("a date");
    (chrono::Utc::now() - told.to_utc()).num_minutes().abs() > 30
}
