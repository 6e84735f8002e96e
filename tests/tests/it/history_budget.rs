//! Temporal's cost is history events. The budget: at most 12 for a submission outside polling, and at
//! most 6 for each poll (`docs/adr/0002-history-budget.md`).

use diagflow_tests::cases::Case;
use diagflow_tests::history;

const OUTSIDE_POLLING: usize = 12;
const EACH_POLL: usize = 6;

/// The number of history events of a case's run, and of its polls.
async fn cost(case: Case) -> (usize, usize) {
    let (stack, accepted) = case.play().await;
    let events = history::events(&stack, &accepted).await;
    let polls = history::count(&events)["EVENT_TYPE_TIMER_STARTED"];
    stack.stop().await;
    (events.len(), polls)
}

#[tokio::test]
async fn a_submission_stays_within_its_budget_of_events() {
    let (at_once, first) = cost(Case::CompletedAtOnce).await;
    let (later, many) = cost(Case::CompletedAfterManyPolls).await;

    assert!(first >= 1 && many >= first + 5, "{first} and {many} polls");
    // Two runs that differ in their polls alone tell the price of a poll, and so that of the rest.
    let each = (later - at_once).div_ceil(many - first);
    let rest = at_once - first * each;
    println!("{each} events for each poll, {rest} for everything else");
    assert!(each <= EACH_POLL, "{each} events for each poll");
    assert!(rest <= OUTSIDE_POLLING, "{rest} events outside polling");
}

#[tokio::test]
async fn an_end_without_a_result_stays_within_it_too() {
    for case in [Case::Failed, Case::TimedOut, Case::Cancelled] {
        let (events, polls) = cost(case).await;
        let limit = OUTSIDE_POLLING + polls * EACH_POLL;
        assert!(events <= limit, "{case:?}: {events} events with {polls} polls");
    }
}
