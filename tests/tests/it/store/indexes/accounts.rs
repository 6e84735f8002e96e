//! Calls every store method for accounts, sessions and API keys.

use diagflow_store::{
    Action, ApiKeyId, AttemptDecision, EndReason, NewApiKey, NewPassword, NewSession, NewUser,
    RefreshOutcome, Role, Rotation, SessionId, Sha256, Store, ThrottleLimit, User, UserChange,
    UserChangeOutcome, UserFilter, UserId,
};
use diagflow_tests::seeding::audit_entry;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn call_everything(store: &Store) {
    let admin = account(store, "root@example.org", Role::Admin).await;
    change(store, &admin).await;
    list(store).await;
    sign_in_and_out(store, &admin).await;
    let program = account(store, "program@example.org", Role::Service).await;
    use_keys(store, &program).await;
    // When a service account is turned into a person's account, its keys and sessions end.
    let person = UserChange {
        role: Some(Role::Clinician),
        password_hash: Some("hash".to_owned()),
        ..UserChange::default()
    };
    store
        .change_user(program.id, &person, &audit_entry(Action::UserUpdate))
        .await
        .expect("changed");
    throttle(store).await;
    store.append_audit_entry(&audit_entry(Action::Access)).await.expect("written");
}

async fn account(store: &Store, email: &str, role: Role) -> User {
    let new = NewUser {
        id: UserId::new(),
        email: email.parse().expect("an address"),
        name: "x".to_owned(),
        role,
        password_hash: (role != Role::Service).then(|| "hash".to_owned()),
    };
    assert!(store.create_user(&new, &audit_entry(Action::UserCreate)).await.expect("created"));
    store.user(new.id).await.expect("read").expect("found")
}

async fn change(store: &Store, user: &User) {
    store.user_by_email(user.email.as_str()).await.expect("read").expect("found");
    store.user_with_password(user.email.as_str()).await.expect("read").expect("found");
    for disabled in [true, false] {
        let change = UserChange { disabled: Some(disabled), ..UserChange::default() };
        let changed = store.change_user(user.id, &change, &audit_entry(Action::UserUpdate)).await;
        assert!(matches!(changed.expect("a response"), UserChangeOutcome::Applied(_)));
    }
}

async fn list(store: &Store) {
    let any = UserFilter::default;
    for filter in [
        any(),
        UserFilter { search: Some("77".to_owned()), ..any() },
        UserFilter { role: Some(Role::Operator), ..any() },
        UserFilter { disabled: Some(true), ..any() },
        UserFilter { role: Some(Role::Clinician), disabled: Some(false), ..any() },
    ] {
        store.users(&filter, 20, 20).await.expect("a page");
    }
}

async fn begin_session(store: &Store, user: &User, refresh: Sha256) -> SessionId {
    assert_eq!(store.user_names(&[user.id]).await.expect("names").len(), 1);
    let user = store.user(user.id).await.expect("read").expect("found");
    let new = NewSession {
        id: SessionId::new(),
        user: user.id,
        password_changed_at: user.password_changed_at,
        refresh,
        network: "127.0.0.0/24".to_owned(),
        address: "127.0.0.1".to_owned(),
        user_agent: "Mozilla/5.0 (X11, Linux)".to_owned(),
        idle: DAY,
        lifetime: DAY,
    };
    assert!(store.create_session(&new, &audit_entry(Action::SignIn)).await.expect("created"));
    new.id
}

async fn sign_in_and_out(store: &Store, user: &User) {
    assert_eq!(store.sweep_sessions().await.expect("swept"), 2);
    let (first, second) = (Sha256::of(b"first"), Sha256::of(b"second"));
    let session = begin_session(store, user, first).await;
    assert!(store.authenticate_session(session, DAY).await.expect("a response").is_some());
    assert!(store.session_user(session).await.expect("a response").is_some());
    assert!(store.session_owner(session).await.expect("a response").is_some());
    assert_eq!(store.user_sessions(user.id).await.expect("sessions").len(), 1);
    store.known_client(user.email.as_str(), "127.0.0.0/24", "127.0.0.1").await.expect("a response");
    for (given, expected) in [(first, RefreshOutcome::Rotated), (first, RefreshOutcome::Reused)] {
        let rotation = Rotation { given, next: second, grace: Duration::ZERO, idle: DAY };
        let (done, reused) = (audit_entry(Action::SessionRefresh), audit_entry(Action::SessionEnd));
        let refreshed = store.refresh_session(session, &rotation, &done, &reused).await;
        assert_eq!(refreshed.expect("a response"), expected);
    }

    let (own, other) =
        (begin_session(store, user, first).await, begin_session(store, user, first).await);
    let ended = store
        .end_user_session(user.id, other, EndReason::EndedByUser, &audit_entry(Action::SessionEnd))
        .await;
    assert!(ended.expect("ended"));
    let known = store.user(user.id).await.expect("read").expect("found");
    let new = NewPassword {
        user: user.id,
        session: own,
        known_since: known.password_changed_at,
        hash: "another".to_owned(),
    };
    assert!(store.set_password(&new, &audit_entry(Action::PasswordChange)).await.expect("set"));
    store
        .end_session(own, EndReason::SignedOut, &audit_entry(Action::SignOut))
        .await
        .expect("ended");
    store
        .end_user_sessions(user.id, None, EndReason::EndedByAdmin, &audit_entry(Action::SessionEnd))
        .await
        .expect("ended");
}

async fn use_keys(store: &Store, program: &User) {
    let secret = Sha256::of(b"secret");
    let new = NewApiKey {
        id: ApiKeyId::new(),
        user: program.id,
        name: "x".to_owned(),
        secret,
        expires_at: None,
    };
    let made =
        store.create_api_key(&new, &audit_entry(Action::KeyCreate)).await.expect("a response");
    let key = made.expect("created").id;
    assert_eq!(store.user_api_keys(program.id).await.expect("keys").len(), 1);
    assert!(store.authenticate_api_key(key, secret).await.expect("a response").is_some());
    assert!(store.api_key_user(key).await.expect("a response").is_some());
    assert!(
        store
            .revoke_api_key(program.id, key, &audit_entry(Action::KeyRevoke))
            .await
            .expect("revoked")
    );
}

async fn throttle(store: &Store) {
    let limit = |name: &[u8]| ThrottleLimit {
        subject: Sha256::of(name),
        free: 5,
        longest: DAY,
        counts: true,
    };
    let limits = [limit(b"account"), limit(b"network")];
    for _ in 0..2 {
        let admitted = store.begin_sign_in(&limits).await.expect("a response");
        let AttemptDecision::Allowed(attempt) = admitted else { panic!("{admitted:?}") };
        store.sign_in_succeeded(&attempt, limits[0].subject).await.expect("counted");
    }
    store.sweep_throttles().await.expect("swept");
}
