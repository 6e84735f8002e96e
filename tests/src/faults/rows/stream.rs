//! Between the event stream and its listeners.

use crate::client::{ApiClient, events_of};
use crate::faults::table::Report;
use crate::faults::world::World;
use crate::proxy::Proxy;
use crate::stack::StackOptions;
use futures::StreamExt;
use reqwest::StatusCode;

/// How often a stream is cut, each time a little later.
const CUTS: usize = 40;
/// An answer's head and the half of an event.
const FIRST_CUT: usize = 500;
/// No multiple of an event's length, so that the cuts fall everywhere.
const FURTHER: usize = 37;
/// Listeners that never read: more than what a busy page would have.
const DEAF: usize = 50;

/// Cut in the middle of events, at two replicas; marks that are stale or absurd; readers who never read.
pub(crate) async fn cuts() -> Report {
    let options = StackOptions::default().scenario("stuck*1, delay=100ms");
    let mut world = World::start(options).await;
    let (replica, other) = world.stack.start_replica().await;
    let submission = world.submit().await;
    world.listen_at(&other, &submission);
    let line = Proxy::to(&world.stack.variable("LISTEN_ADDRESS")).await;
    line.cut_after((0..CUTS).map(|cut| FIRST_CUT + FURTHER * cut));
    world.listen_at(&ApiClient::new(format!("http://{}", line.address())), &submission);

    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(world.stack.client.open_events(&submission, None).await.expect("an answer"));
    }
    for mark in ["-1", "many", "99999999999999999999", "999"] {
        let answer = world.stack.client.open_events(&submission, Some(mark)).await;
        let first = events_of(answer.expect("an answer")).next().await;
        assert_eq!(first.map(|event| event.id), Some(1), "{mark}: from the beginning");
    }
    let execution = world.stack.looked_at(1).await;
    world.stack.loopai.complete(&execution).expect("is under way");
    world.stack.until(&submission, "completed").await;
    let stale = world.stack.client.open_events(&submission, Some("0")).await.expect("an answer");
    assert_eq!(stale.status(), StatusCode::OK, "the whole story again");

    drop(deaf);
    let report = world.report().await;
    replica.stopped().await;
    report
}
