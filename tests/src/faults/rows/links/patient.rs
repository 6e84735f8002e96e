//! The line between a patient and the API: slow, reset, and half-open.

use super::{TROUBLES, Trouble};
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::proxy::Proxy;
use crate::stack::StackOptions;
use crate::{ApiClient, eventually, invariants, photos};
use diagflow_store::Failpoint;
use std::time::Duration;

/// By how much every piece is late: longer than the patient waits.
const LATE: Duration = Duration::from_millis(1500);
/// How long nothing may be heard before the patient takes the connection for dead; a heartbeat comes more often.
const SILENCE: Duration = Duration::from_secs(1);
const HEARTBEAT: &str = "0.3";

/// The answer to a submission is lost, and so is its repeat; with the same key it is the same submission when the
/// line is whole again. A stream breaks off before the end of the story, which is heard then.
pub(super) async fn troubled() -> Report {
    let options = StackOptions::default()
        .with("EVENTS_HEARTBEAT_SECONDS", HEARTBEAT)
        .with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut world = World::start(options).await;
    let line = Proxy::to(&world.stack.variable("LISTEN_ADDRESS")).await;
    let address = format!("http://{}", line.address());
    for trouble in TROUBLES {
        let (ear, mouth) = (
            ApiClient::impatient(address.clone(), SILENCE),
            ApiClient::impatient(address.clone(), SILENCE),
        );
        let followed = world.submit_saying("[sim: stuck]").await;
        world.stack.until(&followed, "processing").await;
        world.listen_at(&ear, &followed);
        eventually("the stream to be open", || async { (ear.streams() == 1).then_some(()) }).await;

        let (email, photo) = (world.patient(), photos::cat());
        let body = ApiClient::body(&email, "", std::slice::from_ref(&photo));
        let key = format!("{trouble:?}");
        world.stack.failpoints.arm(Failpoint::SubmissionStored);
        let sending = tokio::spawn({
            let (mouth, body, key) = (mouth.clone(), body.clone(), key.clone());
            async move { mouth.post(&body, Some(&key)).await.is_ok() }
        });
        world.stack.failpoints.reached(Failpoint::SubmissionStored).await;
        match trouble {
            Trouble::Slow => line.slow(LATE),
            Trouble::Reset => line.reset(),
            Trouble::HalfOpen => line.half_open(),
        }
        world.stack.failpoints.release(Failpoint::SubmissionStored);
        assert!(!sending.await.expect("ran"), "{trouble:?}: the answer is lost");
        assert!(mouth.post(&body, Some(&key)).await.is_err(), "{trouble:?}: so is its repeat");
        let execution = &invariants::executions(&world.stack, &followed)[0].execution_id;
        world.stack.loopai.complete(execution).expect("is under way");
        world.stack.until(&followed, "completed").await;

        line.mend();
        let answer = eventually("the repeat to be answered", || async {
            let answer = mouth.post(&body, Some(&key)).await.ok()?;
            answer.status().is_success().then_some(answer)
        })
        .await;
        world.acknowledge(answer, &email, "", &[photo]).await;
        let stored = format!("SELECT COUNT(*) FROM submissions WHERE email = '{email}'");
        assert_eq!(world.stack.database.number(&stored).await, 1, "{trouble:?}");
        eventually("the stream to be resumed", || async { (ear.streams() > 1).then_some(()) })
            .await;
    }
    world.report().await
}
