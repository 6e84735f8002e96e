//! Calls every store method that lists, counts or searches.

use diagflow_store::{
    Action, AuditFilter, AuditKey, DeletedFilter, EmailFilter, EmailState, ObjectKind,
    PagePosition, Sort, SortBy, SortKey, Status, Store, SubmissionFilter, SubmissionId, UserId,
    UtcTime,
};
use diagflow_tests::stack::AUDIT_KEY;

pub(super) fn filters() -> Vec<SubmissionFilter> {
    let ended = vec![Status::Failed, Status::Cancelled];
    let recent = UtcTime::from(chrono::Utc::now() - chrono::TimeDelta::hours(1));
    vec![
        SubmissionFilter::default(),
        SubmissionFilter { statuses: vec![Status::Failed], ..SubmissionFilter::default() },
        SubmissionFilter { statuses: ended.clone(), ..SubmissionFilter::default() },
        SubmissionFilter {
            statuses: ended,
            created_from: Some(recent),
            ..SubmissionFilter::default()
        },
        SubmissionFilter { created_from: Some(recent), ..SubmissionFilter::default() },
        SubmissionFilter { created_to: Some(recent), ..SubmissionFilter::default() },
        SubmissionFilter {
            email: Some(EmailFilter::Exact("7@example.org".into())),
            ..SubmissionFilter::default()
        },
        SubmissionFilter {
            email: Some(EmailFilter::Prefix("77".into())),
            ..SubmissionFilter::default()
        },
        SubmissionFilter {
            full_text: Some("itches".parse().expect("words")),
            ..SubmissionFilter::default()
        },
        SubmissionFilter {
            error_code: Some("loopai_failed".into()),
            ..SubmissionFilter::default()
        },
        SubmissionFilter {
            email_states: vec![EmailState::Failed, EmailState::Unknown, EmailState::Overdue],
            ..SubmissionFilter::default()
        },
        SubmissionFilter {
            ids: vec![SubmissionId::new(), SubmissionId::new()],
            ..SubmissionFilter::default()
        },
        SubmissionFilter { submitted_by: Some(UserId::new()), ..SubmissionFilter::default() },
        SubmissionFilter { assignee: Some(UserId::new()), ..SubmissionFilter::default() },
        SubmissionFilter { stuck: true, ..SubmissionFilter::default() },
        SubmissionFilter {
            deleted: DeletedFilter::Only,
            error_code: Some("a".into()),
            ..SubmissionFilter::default()
        },
    ]
}

pub(super) async fn list_everything(store: &Store) {
    let descending = Sort::default();
    let sorts = [
        descending,
        Sort { descending: false, ..descending },
        Sort { by: SortBy::Updated, ..descending },
    ];
    let id = SubmissionId::new();
    let key = SortKey { at: UtcTime::default(), id };
    for filter in &filters()[..2] {
        for sort in sorts {
            for position in
                [PagePosition::Skip(5), PagePosition::After(key), PagePosition::Before(key)]
            {
                store.list_submissions(filter, sort, position, 20).await.expect("a list");
            }
        }
    }
    for filter in filters() {
        store
            .list_submissions(&filter, descending, PagePosition::Skip(0), 20)
            .await
            .expect("a list");
        store.count_submissions(&filter).await.expect("a total");
    }
    store.clinical_data(&[id]).await.expect("read");
    store.comments(&[id]).await.expect("read");
}

/// Searches the audit log with each filter. Each search has few matches, if any.
pub(super) async fn search_audit(store: &Store) {
    let text = || Some("7".to_owned());
    let timestamp = || Some(UtcTime::default());
    let unfiltered = AuditFilter::default;
    for filter in [
        unfiltered(),
        AuditFilter { actor_id: Some(UserId::new()), ..unfiltered() },
        AuditFilter { actor: text(), ..unfiltered() },
        AuditFilter { action: Some(Action::SignOut), ..unfiltered() },
        AuditFilter { object_kind: Some(ObjectKind::ApiKey), ..unfiltered() },
        AuditFilter { object_id: text(), ..unfiltered() },
        AuditFilter { result: text(), ..unfiltered() },
        AuditFilter { request_id: text(), ..unfiltered() },
        AuditFilter { before: Some(1_000_100), ..unfiltered() },
        AuditFilter { to: timestamp(), ..unfiltered() },
        AuditFilter {
            from: timestamp(),
            to: timestamp().map(|from| from + std::time::Duration::from_secs(24 * 60 * 60)),
            ..unfiltered()
        },
    ] {
        store.find_audit_entries(&filter, 50).await.expect("lines");
        let before = AuditFilter { before: Some(1_002_000), ..filter };
        store.find_audit_entries(&before, 50).await.expect("lines");
    }
    store.verify_audit(&AuditKey::new(&AUDIT_KEY.into()), None).await.expect("a response");
    store.audit_head().await.expect("a response");
}
