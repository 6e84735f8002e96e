//! The part of the network fault row that concerns the link between a patient and the API.

use super::{LINK_FAULTS, LinkFault};
use crate::faults::report::RowReport;
use crate::faults::testbed::Testbed;
use crate::proxy::Proxy;
use crate::stack::StackOptions;
use crate::{ApiClient, assertions, eventually, photos};
use diagflow_store::Failpoint;
use std::time::Duration;

/// Delay on a slow link, which exceeds the patient's timeout.
const DELAY: Duration = Duration::from_millis(1500);
/// Time without data after which the patient's client closes a connection. Heartbeats are more frequent.
const SILENCE: Duration = Duration::from_secs(1);
const HEARTBEAT: &str = "0.3";

/// The responses to a submission and its retry are lost. Once the link has recovered, a retry with the same key returns
/// the same submission. The event stream is interrupted and resumed.
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
        assert!(!sending.await.expect("a finished task"), "{fault:?}: the response is lost");
        assert!(
            submit_client.post(&body, Some(&key)).await.is_err(),
            "{fault:?}: the retry gets no response"
        );
        let execution = &assertions::executions(&testbed.stack, &followed)[0].execution_id;
        testbed.stack.loopai.complete(execution).expect("an execution in progress");
        testbed.stack.wait_for_status(&followed, "completed").await;

        proxy.restore();
        let response = eventually("the response to the retry", || async {
            let response = submit_client.post(&body, Some(&key)).await.ok()?;
            response.status().is_success().then_some(response)
        })
        .await;
        testbed.record_accepted(response, &email, "", &[photo]).await;
        let stored = format!("SELECT COUNT(*) FROM submissions WHERE email = '{email}'");
        assert_eq!(testbed.stack.database.number(&stored).await, 1, "{fault:?}");
        eventually("the stream to be resumed", || async {
            (stream_client.streams_opened() > 1).then_some(())
        })
        .await;
    }
    testbed.report().await
}
