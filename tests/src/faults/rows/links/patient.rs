//! The line between a patient and the API: slow, reset, and half-open.

use super::{LINK_FAULTS, LinkFault};
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::proxy::Proxy;
use crate::stack::StackOptions;
use crate::{ApiClient, assertions, eventually, photos};
use diagflow_store::Failpoint;
use std::time::Duration;

/// By how much every piece is late: longer than the patient waits.
const DELAY: Duration = Duration::from_millis(1500);
/// How long nothing may be heard before the patient takes the connection for dead; a heartbeat comes more often.
const SILENCE: Duration = Duration::from_secs(1);
const HEARTBEAT: &str = "0.3";

/// The answer to a submission is lost, and so is its repeat; with the same key it is the same submission when the
/// line is whole again. A stream breaks off before the end of the story, which is heard then.
pub(super) async fn run() -> RowReport {
    let options = StackOptions::default()
        .with("EVENTS_HEARTBEAT_SECONDS", HEARTBEAT)
        .with("IDEMPOTENCY_LEASE_SECONDS", "3");
    let mut testbed = Testbed::start(options).await;
    let proxy = Proxy::to(&testbed.stack.setting("LISTEN_ADDRESS")).await;
    let address = format!("http://{}", proxy.address());
    for fault in LINK_FAULTS {
        let (stream_client, submit_client) = (
            ApiClient::with_read_timeout(address.clone(), SILENCE),
            ApiClient::with_read_timeout(address.clone(), SILENCE),
        );
        let followed = testbed.submit_with_comments("[sim: stuck]").await;
        testbed.stack.wait_for_status(&followed, "processing").await;
        testbed.listen_at(&stream_client, &followed);
        eventually("the stream to be open", || async {
            (stream_client.streams_opened() == 1).then_some(())
        })
        .await;

        let (email, photo) = (testbed.new_patient(), photos::cat());
        let body = ApiClient::submission_body(&email, "", std::slice::from_ref(&photo));
        let key = format!("{fault:?}");
        testbed.stack.failpoints.arm(Failpoint::AfterSubmissionCommit);
        let sending = tokio::spawn({
            let (submit_client, body, key) = (submit_client.clone(), body.clone(), key.clone());
            async move { submit_client.post(&body, Some(&key)).await.is_ok() }
        });
        testbed.stack.failpoints.wait_until_reached(Failpoint::AfterSubmissionCommit).await;
        match fault {
            LinkFault::Slow => proxy.slow(DELAY),
            LinkFault::Reset => proxy.reset(),
            LinkFault::HalfOpen => proxy.half_open(),
        }
        testbed.stack.failpoints.release(Failpoint::AfterSubmissionCommit);
        assert!(!sending.await.expect("ran"), "{fault:?}: the answer is lost");
        assert!(
            submit_client.post(&body, Some(&key)).await.is_err(),
            "{fault:?}: so is its repeat"
        );
        let execution = &assertions::executions(&testbed.stack, &followed)[0].execution_id;
        testbed.stack.loopai.complete(execution).expect("is under way");
        testbed.stack.wait_for_status(&followed, "completed").await;

        proxy.restore();
        let answer = eventually("the repeat to be answered", || async {
            let answer = submit_client.post(&body, Some(&key)).await.ok()?;
            answer.status().is_success().then_some(answer)
        })
        .await;
        testbed.record_accepted(answer, &email, "", &[photo]).await;
        let stored = format!("SELECT COUNT(*) FROM submissions WHERE email = '{email}'");
        assert_eq!(testbed.stack.database.number(&stored).await, 1, "{fault:?}");
        eventually("the stream to be resumed", || async {
            (stream_client.streams_opened() > 1).then_some(())
        })
        .await;
    }
    testbed.report().await
}
