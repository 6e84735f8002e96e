//! Which refusals are written down, as far as that shows without a database: one that is to be written fails.

use super::TestApi;
use crate::app::AppState;
use crate::auth::caller::somebody_did;
use crate::auth::refusals::note;
use crate::extract::origin::Origin;
use diagflow_store::{Action, Actor, ActorKind, AuditEntry, UserId};
use std::net::{IpAddr, Ipv4Addr};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn lines_about_strangers_are_bounded_and_those_about_others_are_not() {
    let api = TestApi::new().await;
    let state = AppState::new(api.app.clone(), CancellationToken::new());
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let origin = Origin { address, user_agent: String::new(), request_id: String::new() };
    let stranger = somebody_did(&state, &origin, "", Action::Access);
    let actor = Actor { kind: ActorKind::User, id: Some(UserId::new()), name: String::new() };
    let known = AuditEntry { actor, ..stranger.clone() };
    let guess = somebody_did(&state, &origin, "ana@example.org", Action::SignIn);
    assert!(note(&state, &stranger).await.is_err(), "it is to be written");

    let more = (0..).take_while(|_| state.strangers.admit(Action::Access)).count();

    assert!(more >= 599, "{more}");
    let mut withheld = 0;
    // One in a tenth of a second comes back, and takes half of that to fail.
    for _ in 0..20 {
        withheld += usize::from(note(&state, &stranger).await.is_ok());
    }
    assert!(withheld > 0);
    assert!(note(&state, &known).await.is_err(), "whoever is known is written down");
    assert!(note(&state, &guess).await.is_err(), "noise of one kind does not drown another");
}
