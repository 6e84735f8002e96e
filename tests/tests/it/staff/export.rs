//! Tests of exports. An export is either complete or visibly incomplete, is safe to open in a spreadsheet, and uses a
//! bounded amount of memory. Its start and its end are audited.

use diagflow_store::{EndStatus, Role, RunKey};
use diagflow_tests::responses::refusal;
use diagflow_tests::{Stack, StackOptions, Staff, eventually, seeding};
use futures::StreamExt;
use serde_json::Value;
use std::time::{Duration, Instant};

const PATH: &str = "/api/admin/submissions/export";

async fn text(staff: &Staff, query: &str) -> String {
    let response = staff.get(&format!("{PATH}?{query}")).await;
    assert_eq!(response.status(), 200);
    let disposition = response.headers()["content-disposition"].to_str().expect("text").to_owned();
    assert!(disposition.starts_with("attachment; filename=\"submissions-"), "{disposition}");
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.text().await.expect("a complete file")
}

#[tokio::test]
async fn an_export_omits_clinical_data_without_permission() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let store = &stack.store;
    let first = seeding::submission(store, "ana@example.org", "=HYPERLINK(\"x\")", None).await;
    seeding::complete(store, first).await;
    let second = seeding::submission(store, "+bo@example.org", "itches, \"a lot\"", None).await;
    seeding::end(store, second, EndStatus::Failed, "loopai_failed").await;
    // There are enough rows for the export to read submissions and results in several chunks.
    let more = (0..60).map(|_| seeding::submission(store, "cy@example.org", "-", None));
    futures::stream::iter(more).buffer_unordered(4).count().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let program = Staff::with_role(&stack, Role::Admin).await;

    let csv = text(&admin, "status=completed,failed").await;
    let lines: Vec<_> = csv.split("\r\n").collect();
    assert_eq!(lines.len(), 4, "{csv}");
    assert!(lines[0].starts_with("id,email,status,runs,error_code,"), "{}", lines[0]);
    assert!(lines[0].ends_with(",comments,result"), "{}", lines[0]);
    let failed = format!("{},'+bo@example.org,failed,1,loopai_failed,", second.submission);
    assert!(lines[1].starts_with(&failed), "{}", lines[1]);
    assert!(lines[1].ends_with(r#","itches, ""a lot""","#), "{}", lines[1]);
    assert!(lines[2].contains(r#","'=HYPERLINK(""x"")","#), "{}", lines[2]);

    let json_lines = text(&program, "format=jsonl").await;
    let rows: Vec<Value> =
        json_lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(rows.len(), 62);
    let mut ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 62, "the export contains a submission twice");
    assert_eq!(rows[61]["result"]["summary"], "=all is well");
    assert_eq!(rows[61]["comments"], "=HYPERLINK(\"x\")");

    // The role `service` may export submissions but not read clinical data.
    let update = format!("UPDATE users SET role = 'service' WHERE id = '{}'", program.id);
    stack.database.execute(&update).await;
    for format in ["csv", "jsonl"] {
        let less = text(&program, &format!("format={format}")).await;
        for clinical in ["HYPERLINK", "itches", "all is well", "comments"] {
            assert!(!less.contains(clinical), "{clinical} in {less}");
        }
    }

    let operator = Staff::with_role(&stack, Role::Operator).await;
    assert_eq!(refusal(operator.get(PATH).await).await, (403, "forbidden".to_owned()));
    let wrong = admin.get(&format!("{PATH}?format=xml&page=1")).await;
    assert_eq!(refusal(wrong).await, (400, "invalid_query".to_owned()));
    let lines = audit_entries(&stack).await;
    let filter = r#""filter":{"status":"completed,failed"},"format":"csv""#;
    let started = format!(r#"started {{"clinical":true,{filter}}}"#);
    let success = format!(r#"success {{"clinical":true,{filter},"rows":2}}"#);
    assert_eq!(
        (&lines[..2], lines.len()),
        (&[started, success][..], 8),
        "an export must have two audit entries"
    );
    stack.stop().await;
}

/// Returns the audit entries of all exports.
async fn audit_entries(stack: &Stack) -> Vec<String> {
    let query = "SELECT CONCAT_WS(' ', result, details) FROM audit \
                 WHERE action = 'submissions_export' ORDER BY number";
    stack.database.audit_rows(query).await
}

/// Completes `count` submissions, each with an earlier result and a latest result of `bytes` bytes.
async fn with_results(stack: &Stack, count: usize, bytes: usize) -> Vec<RunKey> {
    let mut runs = Vec::new();
    for number in 0..count {
        let email = format!("ana{number}@example.org");
        let run = seeding::submission(&stack.store, &email, "-", None).await;
        seeding::complete(&stack.store, run).await;
        runs.push(run);
    }
    let database = &stack.database;
    database.execute("UPDATE results SET run_number = 2").await;
    let body = |summary| format!(r#"CONCAT('{{"summary":"', {summary}, '"}}')"#);
    let newest = body(format!("submission_id, REPEAT('x', {bytes})"));
    database.execute(&format!("UPDATE results SET body = {newest}")).await;
    let earlier = body("'earlier'".to_owned());
    let copy = format!("SELECT submission_id, 1, {earlier}, created_at FROM results");
    database.execute(&format!("INSERT INTO results {copy}")).await;
    runs
}

#[tokio::test]
async fn an_export_of_large_results_uses_bounded_memory_and_has_the_latest_results() {
    // Each result is as large as a chunk of the export, and all of them are found by one query.
    let (count, size) = (48, 1024 * 1024);
    let stack = Stack::api_only(StackOptions::default()).await;
    let api = stack.api.as_ref().expect("running");
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let runs = with_results(&stack, count, size).await;
    for format in ["csv", "jsonl"] {
        // A smaller export runs first so that the test does not measure memory that is allocated once and then reused.
        text(&admin, &format!("format={format}&email=ana1*")).await;
        std::fs::write(format!("/proc/{}/clear_refs", api.id()), "5").expect("a reset of the peak");
        let before = api.memory();

        let file = text(&admin, &format!("format={format}")).await;

        let grown = api.peak_memory().saturating_sub(before);
        let exported = file.len();
        assert!(exported > count * size, "{exported}");
        // If the API buffered the whole export, its memory would grow by the size of the export. If the database driver
        // buffered the rows, its memory would grow by four fifths of that size.
        assert!(
            grown * 2 < exported as u64,
            "{format}: memory grew by {grown} bytes for an export of {exported} bytes"
        );
        let lines: Vec<_> = file.lines().filter(|line| line.len() > size).collect();
        assert_eq!(lines.len(), count);
        for (line, run) in lines.iter().zip(runs.iter().rev()) {
            let id = run.submission.to_string();
            let start = &line[..600];
            assert_eq!(start.matches(&id).count(), 2, "{start}");
            assert!(!start.contains("earlier"), "{start}");
        }
    }
    stack.stop().await;
}

#[tokio::test]
async fn an_export_aborted_by_its_client_is_audited_as_interrupted() {
    let stack = Stack::api_only(StackOptions::default()).await;
    seed_many(&stack).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let response = admin.get(&format!("{PATH}?format=jsonl")).await;
    let mut chunks = response.bytes_stream();
    chunks.next().await.expect("a first chunk").expect("bytes");
    let started = audit_entries(&stack).await;
    assert_eq!(started.len(), 1, "{started:?}");
    assert!(started[0].starts_with("started "), "{started:?}");

    drop(chunks);

    let lines = eventually("the end to be audited", || async {
        let lines = audit_entries(&stack).await;
        (lines.len() > 1).then_some(lines)
    })
    .await;
    assert!(lines[1].starts_with("interrupted ") && lines[1].contains("\"rows\":"), "{lines:?}");
    stack.stop().await;
}

#[tokio::test]
async fn a_failed_read_is_not_audited_as_a_view() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    let run = seeding::submission(&stack.store, "ana@example.org", "", None).await;
    let detail = format!("/api/admin/submissions/{}", run.submission);
    for (table, path, action) in [
        ("submission_counts", "/api/admin/submissions", "submissions_view"),
        ("deliveries", detail.as_str(), "submission_view"),
        ("results", PATH, "submissions_export"),
    ] {
        let shown = format!("SELECT COUNT(*) FROM audit WHERE action = '{action}'");
        stack.database.execute(&format!("RENAME TABLE {table} TO elsewhere")).await;
        assert_eq!(refusal(admin.get(path).await).await, (503, "unavailable".to_owned()), "{path}");
        assert_eq!(stack.database.number(&shown).await, 0, "{path}");

        stack.database.execute(&format!("RENAME TABLE elsewhere TO {table}")).await;
        let response = admin.get(path).await;
        assert_eq!(response.status(), 200);
        response.bytes().await.expect("a complete response");
        assert_ne!(stack.database.number(&shown).await, 0, "{path}");
    }
    stack.stop().await;
}

/// Stores enough submissions that an export of them does not fit into the buffers between the server and its client.
async fn seed_many(stack: &Stack) {
    seeding::submission(&stack.store, "ana@example.org", &"x".repeat(5000), None).await;
    for _ in 0..13 {
        stack
            .database
            .execute(
                "INSERT INTO submissions (id, email, recipient, comments, status, consent_version, \
                 consent_at, run_number, last_event, created_at, updated_at) \
                 SELECT UUID(), email, recipient, comments, status, consent_version, consent_at, 1, 1, \
                 created_at, updated_at FROM submissions",
            )
            .await;
    }
}

#[tokio::test]
async fn an_export_stops_when_its_caller_loses_permission() {
    let stack = Stack::api_only(StackOptions::default()).await;
    seed_many(&stack).await;
    for change in ["disabled_at = NOW(6)", "role = 'operator'", "role = 'service'"] {
        let admin = Staff::with_role(&stack, Role::Admin).await;
        let response = admin.get(&format!("{PATH}?format=jsonl")).await;
        assert_eq!(response.status(), 200);
        let mut chunks = response.bytes_stream();
        chunks.next().await.expect("a first chunk").expect("bytes");

        let id = admin.id;
        stack.database.execute(&format!("UPDATE users SET {change} WHERE id = '{id}'")).await;

        let mut end = Ok(());
        while let Some(chunk) = chunks.next().await {
            end = chunk.map(|_| ());
        }
        assert!(end.is_err(), "{change}");
    }
    let results = "SELECT result FROM audit WHERE action = 'submissions_export' ORDER BY number";
    eventually("each end to be audited", || async {
        let all = stack.database.texts(results).await;
        (all == ["started", "interrupted"].repeat(3)).then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn a_slow_export_outlasts_the_session_idle_limit() {
    const IDLE: Duration = Duration::from_secs(3);
    let options =
        StackOptions::default().with("SESSION_IDLE_TIMEOUT_SECONDS", IDLE.as_secs().to_string());
    let stack = Stack::api_only(options).await;
    seed_many(&stack).await;
    let admin = Staff::with_role(&stack, Role::Admin).await;

    let started = Instant::now();
    let response = admin.get(&format!("{PATH}?format=jsonl")).await;
    let (mut chunks, mut lines) = (response.bytes_stream(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.expect("an uninterrupted export");
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        if started.elapsed() < IDLE + Duration::from_secs(2) {
            // The client reads 3 MB per second, so an export of more than 40 MB outlasts the idle limit.
            tokio::time::sleep(Duration::from_secs_f64(chunk.len() as f64 / 3e6)).await;
        }
    }

    assert!(started.elapsed() > IDLE, "the export ended before the idle limit");
    assert_eq!(lines as i64, stack.database.count_rows("submissions").await);
    stack.stop().await;
}

#[tokio::test]
async fn an_interrupted_export_is_visibly_incomplete() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let (proxy, url) = stack.database.via_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.start_api().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    seed_many(&stack).await;

    let response = admin.get(&format!("{PATH}?format=jsonl")).await;
    assert_eq!(response.status(), 200);
    let mut chunks = response.bytes_stream();
    chunks.next().await.expect("a first chunk").expect("bytes");
    proxy.cut();
    let mut end = Ok(());
    while let Some(chunk) = chunks.next().await {
        end = chunk.map(|_| ());
    }

    assert!(end.is_err(), "the response ended normally");
    proxy.restore();
    stack.stop().await;
}
