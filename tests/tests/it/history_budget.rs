//! The budget of Temporal history events (`docs/adr/0002-history-budget.md`): at most 12 events for a submission
//! outside polling, 6 for each poll, 6 for each regular activity, and 3 for every 8 s of a local activity. The tests
//! count the events in real histories of all cases.

use diagflow_simulators::mail::{Action, Rule, Script, Step};
use diagflow_tests::cases::Case;
use diagflow_tests::{AcceptedSubmission, Stack, StackOptions, history};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::time::Instant;
use temporalio_common::protos::temporal::api::enums::v1::EventType;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

const OUTSIDE_POLLING: usize = 12;
const EACH_POLL: usize = 6;
const EACH_REGULAR_ACTIVITY: usize = 6;
/// A workflow task times out after ten seconds. During a local activity, the SDK requests a new workflow task after
/// four fifths of that timeout.
const EACH_FURTHER_TASK: usize = 3;
const FURTHER_TASK_SECONDS: usize = 8;

#[derive(Debug)]
struct Cost {
    events: usize,
    polls: usize,
    /// Number of regular activities.
    regular: usize,
    events_of_regular: usize,
    /// Highest attempt number of any regular activity.
    attempts: i32,
}

impl Cost {
    async fn of(case: Case) -> Cost {
        let (stack, accepted) = case.run().await;
        Self::counted(stack, &accepted).await
    }

    /// Counts the events of a closed run and asserts that its history contains no personal data.
    async fn counted(stack: Stack, accepted: &AcceptedSubmission) -> Cost {
        let events = history::events(&stack, accepted).await;
        let personal = history::possible_personal_data(&history::json(&stack, accepted).await);
        assert!(personal.is_empty(), "{personal:?}");
        stack.stop().await;
        let counts = history::count_by_type(&events);
        let count = |kind: EventType| counts.get(kind.as_str_name()).copied().unwrap_or_default();
        let attempts = events.iter().filter_map(|event| match event.attributes.as_ref()? {
            Attributes::ActivityTaskStartedEventAttributes(started) => Some(started.attempt),
            _ => None,
        });
        let of_activities = |(name, _): &(&&str, &usize)| name.contains("ACTIVITY_TASK");
        Cost {
            events: events.len(),
            polls: count(EventType::TimerStarted),
            regular: count(EventType::ActivityTaskScheduled),
            events_of_regular: counts.iter().filter(of_activities).map(|(_, count)| count).sum(),
            attempts: attempts.max().unwrap_or_default(),
        }
    }

    fn outside_polling(&self) -> usize {
        self.events - self.polls * EACH_POLL
    }
}

fn has_outage(case: Case) -> bool {
    match case {
        Case::LoopAiDownAtFirst
        | Case::CancelledAsTimerFired
        | Case::MailRetried
        | Case::SupersededByRetry
        | Case::ResentRetried => true,
        Case::CompletedAtOnce
        | Case::CompletedAfterManyPolls
        | Case::WokenByCallback
        | Case::SignalledWithInput
        | Case::Failed
        | Case::TimedOut
        | Case::Cancelled
        | Case::Resent => false,
    }
}

#[tokio::test]
async fn every_case_stays_within_the_event_budget() {
    let mut costs = BTreeMap::new();
    // Two cases run at a time because each spends most of its time waiting.
    for pair in Case::BUDGETED.chunks(2) {
        let played = join_all(pair.iter().map(|case| Cost::of(*case))).await;
        costs.extend(pair.iter().map(|case| case.name()).zip(played));
    }
    for (name, cost) in &costs {
        println!("{name}: {} outside polling, {cost:?}", cost.outside_polling());
    }

    for case in Case::BUDGETED {
        let (name, cost) = (case.name(), &costs[case.name()]);
        let extra = cost.regular * EACH_REGULAR_ACTIVITY;
        assert!(cost.outside_polling() <= OUTSIDE_POLLING + extra, "{name}: {cost:?}");
        assert_eq!(cost.regular > 0, has_outage(case), "{name}: {cost:?}");
        // A regular activity has three events (scheduled, started and completed), regardless of its number of attempts.
        assert_eq!(cost.events_of_regular, cost.regular * 3, "{name}: {cost:?}");
        assert_eq!(cost.attempts > 1, has_outage(case), "{name}: {cost:?}");
    }

    // The two runs differ only in their number of polls, so the difference between their event counts is the cost of
    // those polls.
    let (once, many) = (&costs["completed-at-once"], &costs["completed-after-many-polls"]);
    assert!(once.polls >= 1 && many.polls > once.polls, "{once:?} and {many:?}");
    let each = (many.events - once.events).div_ceil(many.polls - once.polls);
    assert!(each <= EACH_POLL, "a poll costs {each} events");
}

/// Returns the cost of a run that completes at its first poll, and an upper bound on its duration in seconds. The
/// duration matters because a run that takes longer on a busy machine may need more workflow tasks.
async fn cost_of(options: StackOptions) -> (Cost, usize) {
    let started = Instant::now();
    let (stack, accepted) = Stack::with_submission(options).await;
    assert_eq!(history::wait_until_closed(&stack, &accepted).await, "Completed");
    let seconds = usize::try_from(started.elapsed().as_secs()).expect("a small number");
    (Cost::counted(stack, &accepted).await, seconds)
}

#[tokio::test]
async fn a_slow_external_call_costs_one_workflow_task_every_eight_seconds() {
    const SECONDS: usize = 17;
    let usual = StackOptions::default;
    let slow = |what: &str| usual().scenario(&format!("{what}=slow:{SECONDS}s*1, delay=0s"));
    let mut silent = usual().with("SMTP_RESPONSE_TIMEOUT_SECONDS", SECONDS.to_string());
    let stall = Rule::new(Step::Body, Action::StallAfterAccept);
    silent.mail.script = Script::new(vec![stall]).expect("a script");

    let (request, poll, mail) =
        tokio::join!(cost_of(slow("diagnose")), cost_of(slow("status")), cost_of(silent));

    for (what, (cost, seconds)) in [("request", request), ("poll", poll), ("e-mail", mail)] {
        let extra = seconds / FURTHER_TASK_SECONDS * EACH_FURTHER_TASK;
        println!("{what}: {} outside polling, {cost:?}", cost.outside_polling());
        assert!(cost.outside_polling() <= OUTSIDE_POLLING + extra, "{what}: {cost:?}");
        assert_eq!(cost.regular, 0, "{what}: {cost:?}");
    }
}
