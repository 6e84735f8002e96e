//! A snapshot of the whole system: the database, API responses, stored files, and the logs of LoopAI and the mail
//! server. Taking a snapshot does not modify the system.

use super::acknowledged::AcknowledgedSubmission;
use super::listener::{Listener, ReceivedEvent};
use crate::history;
use crate::stack::Stack;
use diagflow_simulators::loopai::ExecutionRecord;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use diesel_async::RunQueryDsl;
use reqwest::StatusCode;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct SubmissionRow {
    #[diesel(sql_type = Text)]
    pub(crate) id: String,
    #[diesel(sql_type = Text)]
    pub(crate) email: String,
    #[diesel(sql_type = Text)]
    pub(crate) comments: String,
    #[diesel(sql_type = Text)]
    pub(crate) consent_version: String,
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error_code: Option<String>,
    #[diesel(sql_type = Integer)]
    pub(crate) run_number: i32,
    #[diesel(sql_type = Integer)]
    pub(crate) last_event: i32,
    #[diesel(sql_type = Bool)]
    pub(crate) is_erased: bool,
}

#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct RunRow {
    #[diesel(sql_type = Text)]
    pub(crate) submission_id: String,
    #[diesel(sql_type = Integer)]
    pub(crate) number: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) execution: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct ResultRow {
    pub(crate) submission_id: String,
    pub(crate) run_number: i32,
    pub(crate) body: Value,
}

#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct EventRow {
    #[diesel(sql_type = Text)]
    pub(crate) submission_id: String,
    #[diesel(sql_type = BigInt)]
    pub(crate) number: i64,
    #[diesel(sql_type = Text)]
    pub(crate) step: String,
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
}

#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct DeliveryRow {
    #[diesel(sql_type = Text)]
    pub(crate) id: String,
    #[diesel(sql_type = Text)]
    pub(crate) submission_id: String,
    #[diesel(sql_type = Integer)]
    pub(crate) run_number: i32,
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
    #[diesel(sql_type = Text)]
    pub(crate) status: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) error_code: Option<String>,
    #[diesel(sql_type = Bool)]
    pub(crate) is_copy: bool,
}

#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct FileRow {
    #[diesel(sql_type = Text)]
    pub(crate) submission_id: String,
    #[diesel(sql_type = Text)]
    pub sha256: String,
}

#[derive(Debug, Clone, QueryableByName)]
pub(crate) struct AuditRow {
    #[diesel(sql_type = Text)]
    pub(crate) action: String,
    #[diesel(sql_type = Text)]
    pub(crate) object_id: String,
}

#[derive(Debug, Clone)]
pub(crate) struct AcceptedMail {
    /// Delivery id, taken from the Message-ID.
    pub(crate) delivery_id: String,
    pub(crate) to: Vec<String>,
    pub(crate) subject: String,
    pub(crate) text: String,
}

#[derive(Debug, Clone)]
pub(crate) struct ListenerRecord {
    pub(crate) submission_id: String,
    pub(crate) received: Vec<ReceivedEvent>,
    pub(crate) is_done: bool,
    /// Statuses of any responses that would stop a browser from reconnecting.
    pub(crate) refused: Vec<StatusCode>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) submissions: Vec<SubmissionRow>,
    pub(crate) runs: Vec<RunRow>,
    pub(crate) results: Vec<ResultRow>,
    pub(crate) events: Vec<EventRow>,
    pub(crate) deliveries: Vec<DeliveryRow>,
    pub(crate) files: Vec<FileRow>,
    pub(crate) audit: Vec<AuditRow>,
    /// Digests of the stored files whose content matches their digest.
    pub(crate) intact_files: Vec<String>,
    /// The status document of each acknowledged submission.
    pub(crate) documents: Vec<(String, Value)>,
    pub(crate) executions: Vec<ExecutionRecord>,
    pub(crate) mails: Vec<AcceptedMail>,
    pub(crate) listeners: Vec<ListenerRecord>,
    /// Output of `diagflow audit verify`, if it failed.
    pub(crate) audit_error: Option<String>,
    /// Workflows that are still open in Temporal.
    pub(crate) open_workflows: Vec<String>,
    /// Why the service did not recover, if it did not.
    pub(crate) not_recovered: Option<String>,
}

impl Snapshot {
    /// Takes a snapshot. The API, MySQL and the simulators must be reachable.
    pub(crate) async fn collect(
        stack: &Stack,
        acknowledged: &[AcknowledgedSubmission],
        listeners: &[Listener],
    ) -> Snapshot {
        let mut snapshot = Snapshot {
            submissions: rows(
                stack,
                "SELECT id, email, comments, consent_version, status, error_code, run_number, \
                 last_event, erased_at IS NOT NULL AS is_erased FROM submissions",
            )
            .await,
            runs: rows(
                stack,
                "SELECT submission_id, number, loopai_execution_id AS execution FROM runs",
            )
            .await,
            results: results(stack).await,
            events: rows(
                stack,
                "SELECT submission_id, CAST(number AS SIGNED) AS number, step, status FROM events \
                 ORDER BY submission_id, number",
            )
            .await,
            deliveries: rows(
                stack,
                "SELECT id, submission_id, run_number, kind, status, error_code, copy > 0 AS is_copy \
                 FROM deliveries",
            )
            .await,
            files: rows(stack, "SELECT submission_id, sha256 FROM files ORDER BY position").await,
            audit: rows(stack, "SELECT action, object_id FROM audit").await,
            executions: stack.loopai.executions(),
            mails: mails(stack),
            listeners: listeners.iter().map(listener_record).collect(),
            audit_error: stack.audit_verify_error().await,
            open_workflows: history::open_workflows(stack).await,
            ..Snapshot::default()
        };
        for one in acknowledged {
            if let Ok(document) = stack.client.status(&one.accepted).await {
                snapshot.documents.push((one.accepted.submission_id.clone(), document));
            }
        }
        snapshot.intact_files = intact_files(stack, &snapshot.files);
        snapshot
    }
}

impl Snapshot {
    /// Counts submissions and e-mails by final status.
    pub(crate) fn count_ends(&self) -> BTreeMap<String, i64> {
        let mut ends = BTreeMap::new();
        let submissions = self.submissions.iter().map(|row| match &row.error_code {
            Some(code) => format!("{}, {code}", row.status),
            None => row.status.clone(),
        });
        let mails = self.deliveries.iter().map(|row| format!("e-mails {}", row.status));
        for end in submissions.chain(mails) {
            *ends.entry(end).or_default() += 1;
        }
        ends
    }
}

async fn rows<T>(stack: &Stack, query: &str) -> Vec<T>
where
    T: QueryableByName<diesel::mysql::Mysql> + Send + 'static,
{
    let mut connection = stack.database.connect().await;
    diesel::sql_query(query).load(&mut connection).await.expect(query)
}

async fn results(stack: &Stack) -> Vec<ResultRow> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Text)]
        submission_id: String,
        #[diesel(sql_type = Integer)]
        run_number: i32,
        #[diesel(sql_type = Text)]
        body: String,
    }
    let found: Vec<Found> =
        rows(stack, "SELECT submission_id, run_number, body FROM results").await;
    let parsed = found.into_iter().map(|row| ResultRow {
        submission_id: row.submission_id,
        run_number: row.run_number,
        body: serde_json::from_str(&row.body).expect("JSON"),
    });
    parsed.collect()
}

fn mails(stack: &Stack) -> Vec<AcceptedMail> {
    let all = stack.mail.mails().into_iter();
    all.map(|mail| AcceptedMail {
        delivery_id: mail
            .message_id
            .as_deref()
            .and_then(|id| id.split_once('@'))
            .map(|(delivery, _)| delivery.to_owned())
            .unwrap_or_default(),
        to: mail.to.clone(),
        subject: mail.subject.clone(),
        text: mail.text.clone().unwrap_or_default(),
    })
    .collect()
}

fn listener_record(listener: &Listener) -> ListenerRecord {
    ListenerRecord {
        submission_id: listener.submission_id.clone(),
        received: listener.received(),
        is_done: listener.is_done(),
        refused: listener.refused(),
    }
}

fn intact_files(stack: &Stack, files: &[FileRow]) -> Vec<String> {
    let mut digests: Vec<_> = files.iter().map(|file| file.sha256.clone()).collect();
    digests.sort();
    digests.dedup();
    digests.retain(|digest| {
        let bytes = std::fs::read(stack.files().join(&digest[..2]).join(digest));
        bytes.is_ok_and(|bytes| diagflow_store::Sha256::of(&bytes).to_string() == *digest)
    });
    digests
}
