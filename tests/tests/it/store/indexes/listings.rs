//! Calls of everything that lists, counts and searches.

use diagflow_store::{
    Action, AuditFilter, AuditKey, Deleted, EmailFilter, Filter, Key, ObjectKind, Place, Sort,
    SortBy, Status, Store, SubmissionId, UserId,
};
use diagflow_tests::stack::AUDIT_KEY;

/// A filter of each kind.
pub(super) fn filters() -> Vec<Filter> {
    let ended = vec![Status::Failed, Status::Cancelled];
    let recent = (chrono::Utc::now() - chrono::TimeDelta::hours(1)).naive_utc();
    vec![
        Filter::default(),
        Filter { statuses: vec![Status::Failed], ..Filter::default() },
        Filter { statuses: ended.clone(), ..Filter::default() },
        Filter { statuses: ended, created_from: Some(recent), ..Filter::default() },
        Filter { created_from: Some(recent), ..Filter::default() },
        Filter { created_to: Some(recent), ..Filter::default() },
        Filter { email: Some(EmailFilter::Exact("7@example.org".into())), ..Filter::default() },
        Filter { email: Some(EmailFilter::Prefix("77".into())), ..Filter::default() },
        Filter { words: Some("itches".parse().expect("words")), ..Filter::default() },
        Filter { error_code: Some("loopai_failed".into()), ..Filter::default() },
        Filter { submitted_by: Some(UserId::new()), ..Filter::default() },
        Filter { deleted: Deleted::Only, error_code: Some("a".into()), ..Filter::default() },
    ]
}

/// Calls every way to list submissions, and to count them.
pub(super) async fn list_everything(store: &Store) {
    let descending = Sort::default();
    let sorts = [
        descending,
        Sort { descending: false, ..descending },
        Sort { by: SortBy::Updated, ..descending },
    ];
    let id = SubmissionId::new();
    let key = Key { at: chrono::DateTime::UNIX_EPOCH.naive_utc(), id };
    for filter in &filters()[..2] {
        for sort in sorts {
            for place in [Place::Skip(5), Place::After(key), Place::Before(key)] {
                store.list(filter, sort, place, 20).await.expect("a list");
            }
        }
    }
    for filter in filters() {
        store.list(&filter, descending, Place::Skip(0), 20).await.expect("a list");
        store.total(&filter).await.expect("a total");
    }
    store.clinical(&[id]).await.expect("read");
}

/// Looks for lines of the audit by each thing that can be asked for, of which there are few or none.
pub(super) async fn search_audit(store: &Store) {
    let word = || Some("7".to_owned());
    let time = || Some(chrono::DateTime::UNIX_EPOCH.naive_utc());
    let any = AuditFilter::default;
    for filter in [
        any(),
        AuditFilter { actor_id: Some(UserId::new()), ..any() },
        AuditFilter { actor: word(), ..any() },
        AuditFilter { action: Some(Action::SignOut), ..any() },
        AuditFilter { object_kind: Some(ObjectKind::ApiKey), ..any() },
        AuditFilter { object_id: word(), ..any() },
        AuditFilter { result: word(), ..any() },
        AuditFilter { request_id: word(), ..any() },
        AuditFilter { before: Some(1_000_100), ..any() },
        AuditFilter { to: time(), ..any() },
        AuditFilter { from: time(), to: time().map(|from| from + chrono::Days::new(1)), ..any() },
    ] {
        store.find_audit(&filter, 50).await.expect("lines");
        let before = AuditFilter { before: Some(1_002_000), ..filter };
        store.find_audit(&before, 50).await.expect("lines");
    }
    store.check_audit(&AuditKey::new(AUDIT_KEY), None).await.expect("an answer");
    store.audit_end().await.expect("an answer");
}
