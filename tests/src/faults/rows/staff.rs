//! Staff who press at the worst moment.

use crate::Accepted;
use crate::eventually;
use crate::faults::ledger::End;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::stack::{StackOptions, id_of};
use crate::staff::Staff;
use diagflow_store::{Failpoint, Role};
use serde_json::{Value, json};

async fn press(staff: &Staff, verb: &str, submission: &Accepted) -> (u16, Value) {
    let path = format!("/api/admin/submissions/{}/{verb}", submission.submission_id);
    let answer = staff.post(&path, &json!({"reason": "a fault is played"})).await;
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// Cancelled while the result is on its way into the records, and just after; twice at once; and while LoopAI
/// is down.
pub(crate) async fn cancels() -> Report {
    let mut world = World::start(StackOptions::default()).await;
    let staff = Staff::with_role(&world.stack, Role::Operator).await;

    // LoopAI has said that it is done; the records do not know.
    world.stack.failpoints.arm(Failpoint::LookAnswered);
    let early = world.submit().await;
    world.stack.failpoints.reached(Failpoint::LookAnswered).await;
    let (code, said) = press(&staff, "cancel", &early).await;
    assert_eq!(code, 202, "{said}");
    world.moved(&early, "submission_cancel");
    world.ends(&early, &[End::COMPLETED]);
    world.stack.failpoints.release(Failpoint::LookAnswered);

    // The result is recorded; Temporal does not know.
    world.stack.failpoints.arm(Failpoint::LookRecorded);
    let late = world.submit().await;
    world.stack.until(&late, "completed").await;
    let (code, said) = press(&staff, "cancel", &late).await;
    assert_eq!((code, &said["error"]["code"]), (409, &json!("already_final")), "{said}");
    world.stack.failpoints.release(Failpoint::LookRecorded);

    let twice = world.submit_saying("[sim: stuck]").await;
    world.stack.until(&twice, "processing").await;
    let presses = tokio::join!(press(&staff, "cancel", &twice), press(&staff, "cancel", &twice));
    assert_eq!((presses.0.0, presses.1.0), (202, 202), "{presses:?}");
    world.moved(&twice, "submission_cancel");
    world.moved(&twice, "submission_cancel");
    world.ends(&twice, &[End::CANCELLED]);

    // LoopAI was asked and did not answer, more than once, and the run is about to ask again.
    let down = world.submit_saying("[sim: diagnose=500]").await;
    world.ends(&down, &[End::CANCELLED]);
    eventually("LoopAI to be asked again", || async {
        let asked = world.stack.loopai.requests();
        let refused = asked.iter().filter(|one| one.status == Some(500)).count();
        (refused >= 2).then_some(())
    })
    .await;
    let (code, said) = press(&staff, "cancel", &down).await;
    assert_eq!(code, 202, "{said}");
    world.moved(&down, "submission_cancel");
    world.stack.until(&down, "cancelled").await;
    world.report().await
}

/// Two presses at once are one further run; a press while it goes on changes nothing.
pub(crate) async fn retries() -> Report {
    let mut world = World::start(StackOptions::default()).await;
    let staff = Staff::with_role(&world.stack, Role::Operator).await;
    let submission = world.submit_saying("[sim: stuck*1, delay=100ms]").await;
    world.ends(&submission, &[End::failed("loopai_failed"), End::COMPLETED]);
    world.stack.until(&submission, "processing").await;
    let (code, said) = press(&staff, "retry", &submission).await;
    assert_eq!((code, &said["outcome"]), (200, &json!("under_way")), "{said}");
    world.moved(&submission, "submission_retry");

    let execution = &world.stack.loopai.executions()[0].execution_id;
    world.stack.loopai.fail(execution, "it cannot be told").expect("is under way");
    world.stack.until(&submission, "failed").await;
    let presses =
        tokio::join!(press(&staff, "retry", &submission), press(&staff, "retry", &submission));
    let mut codes = [presses.0.0, presses.1.0];
    codes.sort_unstable();
    assert_eq!(codes, [200, 202], "{presses:?}");
    world.moved(&submission, "submission_retry");
    world.moved(&submission, "submission_retry");

    world.stack.until(&submission, "completed").await;
    let runs = world.stack.store.runs(id_of(&submission)).await.expect("runs");
    assert_eq!(runs.len(), 2, "{runs:?}");
    world.report().await
}
