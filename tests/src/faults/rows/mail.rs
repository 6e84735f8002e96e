//! The mail server.

use crate::Accepted;
use crate::eventually;
use crate::faults::report::Report;
use crate::faults::world::World;
use crate::invariants;
use crate::stack::{LOCAL, StackOptions, id_of};
use diagflow_simulators::mail::{Action, MailCatcher, Rule, Settings, Step};
use diagflow_store::Delivery;

/// What the ledger says of the first e-mail of a submission, once it is settled.
async fn settled(world: &World, submission: &Accepted) -> Delivery {
    eventually("the e-mail to be settled", || async {
        let all = world.stack.store.deliveries(id_of(submission)).await.ok()?;
        all.into_iter().next().filter(|one| one.settled_at.is_some())
    })
    .await
}

/// The text was sent and no 250 came: whether the server kept it or not, it looks the same from here, so it is
/// unknown and never sent again.
pub(crate) async fn dropped_after_the_text() -> Report {
    let silences = [Action::DropAfterAccept, Action::Drop, Action::StallAfterAccept, Action::Stall];
    let options = StackOptions::default().with("SMTP_ANSWER_SECONDS", "2");
    let mut world = World::start(options).await;
    world.terms.mails = &["sent", "unknown"];
    for silence in silences {
        let rule = Rule::new(Step::Body, silence.clone()).times(1);
        world.stack.mail.set_script([rule]).expect("a script");
        let submission = world.submit().await;
        let delivery = settled(&world, &submission).await;
        assert_eq!(delivery.status.to_string(), "unknown", "{silence:?}: {delivery:?}");
    }
    world.report().await
}

/// What is about us, or for now, is tried again; what is about the address is final.
pub(crate) async fn refusals() -> Report {
    let mut world = World::start(StackOptions::default()).await;
    world.terms.mails = &["sent", "failed"];
    let later =
        [Rule::reply(Step::Connect, 421, "4.3.2 Shutting down").times(1), Rule::greylisting()];
    for rule in later {
        world.stack.mail.set_script([rule.clone()]).expect("a script");
        let submission = world.submit().await;
        let delivery = settled(&world, &submission).await;
        assert_eq!(delivery.status.to_string(), "sent", "{rule:?}: {delivery:?}");
        assert!(delivery.attempts > 1, "{rule:?}: {delivery:?}");
    }
    let refused = [
        Rule::reply(Step::Rcpt, 550, "5.1.1 No such user here"),
        Rule::reply(Step::Rcpt, 553, "5.1.3 No such address").times(1),
    ];
    for rule in refused {
        world.stack.mail.set_script([rule.clone().times(1)]).expect("a script");
        let submission = world.submit().await;
        let delivery = settled(&world, &submission).await;
        assert_eq!(delivery.status.to_string(), "failed", "{rule:?}: {delivery:?}");
        world.stack.until(&submission, "completed").await;
    }
    world.report().await
}

/// The server is stopped for several attempts. The submission stays completed, the delivery waits, and goes out
/// when the server is back.
pub(crate) async fn down_for_long() -> Report {
    let spool = tempfile::TempDir::new().expect("a folder");
    let settings = Settings { spool: Some(spool.path().to_owned()), ..Settings::default() };
    let mut world =
        World::start(StackOptions { mail: settings.clone(), ..StackOptions::default() }).await;
    let address = world.stack.mail.smtp_address();
    // Something else has to stand in its place meanwhile, which nobody knows of.
    let nobody = MailCatcher::start(LOCAL, LOCAL, Settings::default()).await.expect("starts");
    std::mem::replace(&mut world.stack.mail, nobody).shutdown().await;

    let submission = world.submit().await;
    world.stack.until(&submission, "completed").await;
    let waits = eventually("several attempts to fail", || async {
        let all = world.stack.store.deliveries(id_of(&submission)).await.ok()?;
        all.into_iter().next().filter(|delivery| delivery.attempts >= 3)
    })
    .await;
    assert_eq!(waits.status.to_string(), "planned", "{waits:?}");

    let back = MailCatcher::start(address, LOCAL, settings).await.expect("starts");
    std::mem::replace(&mut world.stack.mail, back).shutdown().await;
    let delivery = settled(&world, &submission).await;
    assert_eq!(delivery.status.to_string(), "sent", "{delivery:?}");
    assert_eq!(delivery.id, waits.id, "it is the e-mail that waited");
    assert!(delivery.attempts > waits.attempts, "{delivery:?}");
    assert_eq!(invariants::mails(&world.stack, &submission).len(), 1, "taken once");
    stayed_completed(&world, &submission).await;
    world.report().await
}

/// Its story tells nothing else since it was completed, and the e-mail last.
async fn stayed_completed(world: &World, submission: &Accepted) {
    let story = world.stack.store.events(id_of(submission), 0).await.expect("events");
    let told: Vec<_> = story.iter().map(|event| (event.step.name(), event.status.name())).collect();
    let since = told.iter().position(|(_, status)| *status == "completed").expect("an end");
    assert!(told[since..].iter().all(|(_, status)| *status == "completed"), "{told:?}");
    assert_eq!(told.last(), Some(&("mail_sent", "completed")), "{told:?}");
    world.stack.until(submission, "completed").await;
}
