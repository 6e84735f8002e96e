//! Tests of the limits on audit entries about anonymous callers. There is no database, so every attempt to append an
//! entry fails.

use super::TestApi;
use crate::app::AppState;
use crate::auth::audit::append_refusal;
use crate::auth::caller::anonymous_entry;
use crate::extract::client_info::ClientInfo;
use diagflow_store::{Action, Actor, ActorKind, NewAuditEntry, UserId};
use std::net::{IpAddr, Ipv4Addr};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn audit_entries_about_anonymous_callers_are_rate_limited() {
    let api = TestApi::new().await;
    let state = AppState::new(api.app.clone(), CancellationToken::new());
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = ClientInfo { address, user_agent: String::new(), request_id: String::new() };
    let anonymous = anonymous_entry(&state, &client, "", Action::Access);
    let actor = Actor { kind: ActorKind::User, id: Some(UserId::new()), name: String::new() };
    let known = NewAuditEntry { actor, ..anonymous.clone() };
    let sign_in = anonymous_entry(&state, &client, "ana@example.org", Action::SignIn);
    assert!(append_refusal(&state, &anonymous).await.is_err(), "the API tries to append the entry");

    let more = (0..).take_while(|_| state.audit_limits.check(&anonymous).is_ok()).count();

    assert!(more >= 599, "{more}");
    let mut dropped = 0;
    // The limiter allows one entry per 100 ms, and a failed append takes 50 ms.
    for _ in 0..20 {
        dropped += usize::from(append_refusal(&state, &anonymous).await.is_ok());
    }
    assert!(dropped > 0);
    assert!(append_refusal(&state, &known).await.is_err(), "each account has its own limit");
    assert!(append_refusal(&state, &sign_in).await.is_err(), "each action has its own limit");
}

#[tokio::test]
async fn audit_entries_about_an_account_are_rate_limited() {
    let api = TestApi::new().await;
    let state = AppState::new(api.app.clone(), CancellationToken::new());
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = ClientInfo { address, user_agent: String::new(), request_id: String::new() };
    let entry_about = |user| {
        let actor = Actor { kind: ActorKind::User, id: Some(user), name: String::new() };
        NewAuditEntry { actor, ..anonymous_entry(&state, &client, "", Action::Access) }
    };
    let refused = entry_about(UserId::new());

    let appended = (0..).take_while(|_| state.audit_limits.check(&refused).is_ok()).count();

    assert!((60..65).contains(&appended), "{appended}");
    assert!(append_refusal(&state, &refused).await.is_ok(), "the entry is dropped");
    let other = entry_about(UserId::new());
    assert!(append_refusal(&state, &other).await.is_err(), "the API tries to append the entry");
}
