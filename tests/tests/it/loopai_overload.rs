//! Tests of an overloaded LoopAI, which rejects some requests while it accepts others.

use diagflow_tests::assertions::wait_completed_once;
use diagflow_tests::eventually::{LIMIT, within};
use diagflow_tests::{Stack, StackOptions, eventually, photos};
use futures::future::join_all;
use std::time::Duration;

#[tokio::test]
async fn no_submission_fails_because_loopai_limits_the_request_rate() {
    const MANY: usize = 20;
    let accept_two = "diagnose=slow:1ms*2, diagnose=429, delay=100ms";
    let stack = Stack::with(StackOptions::default().scenario(accept_two)).await;
    // LoopAI accepts two requests per second. Setting a scenario resets the number of accepted requests.
    let limit_rate = async {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            stack.loopai.set_scenario(accept_two.parse().expect("a scenario"));
        }
    };
    let all_complete = async {
        let photos = [photos::retina()];
        let submit = |_| stack.client.submit("ana@example.org", "", &photos);
        let submissions = join_all((0..MANY).map(submit)).await;
        eventually("requests of several runs to fail", || async {
            let failed = "SELECT COUNT(*) FROM loopai_slots WHERE failures > 0";
            (stack.database.number(failed).await >= 3).then_some(())
        })
        .await;
        // Each of these runs would end after one more failure that might be caused by its submission.
        let almost = "UPDATE loopai_slots SET own_failures = 9 WHERE failures > 0";
        stack.database.execute(almost).await;
        within(3 * LIMIT, "all submissions to end", || async {
            let open = "SELECT COUNT(*) FROM submissions WHERE status IN ('pending', 'processing')";
            (stack.database.number(open).await == 0).then_some(())
        })
        .await;
        submissions
    };
    let submissions = tokio::select! {
        submissions = all_complete => submissions,
        () = limit_rate => unreachable!("the limit never ends"),
    };

    for submission in &submissions {
        wait_completed_once(&stack, submission).await;
    }
    let requests = stack.loopai.requests();
    let failed = requests.iter().filter(|request| request.status == Some(429)).count();
    assert!(failed < 3 * MANY, "{failed} requests failed");
    stack.stop().await;
}
