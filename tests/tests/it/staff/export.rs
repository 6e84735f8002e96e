//! Exports: whole or visibly not, harmless in a spreadsheet, and written down before they begin.

use diagflow_store::{Outcome, Role};
use diagflow_tests::answers::refusal;
use diagflow_tests::{Stack, StackOptions, Staff, seeding};
use futures::StreamExt;
use serde_json::Value;

const PATH: &str = "/api/admin/submissions/export";

async fn text(staff: &Staff, query: &str) -> String {
    let answer = staff.get(&format!("{PATH}?{query}")).await;
    assert_eq!(answer.status(), 200);
    let disposition = answer.headers()["content-disposition"].to_str().expect("text").to_owned();
    assert!(disposition.starts_with("attachment; filename=\"submissions-"), "{disposition}");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.text().await.expect("a whole file")
}

#[tokio::test]
async fn an_export_has_what_the_filter_matches_and_what_is_medical_by_permission_only() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    let store = &stack.store;
    let first = seeding::submission(store, "ana@example.org", "=HYPERLINK(\"x\")", None).await;
    seeding::complete(store, first).await;
    let second = seeding::submission(store, "+bo@example.org", "itches, \"a lot\"", None).await;
    seeding::end(store, second, Outcome::Failed, "loopai_failed").await;
    // So many that there are several parts, also of those with results.
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
    assert_eq!(ids.len(), 62, "each once");
    assert_eq!(rows[61]["result"]["summary"], "=all is well");
    assert_eq!(rows[61]["comments"], "=HYPERLINK(\"x\")");

    // A role that exports, but reads nothing medical.
    let update = format!("UPDATE users SET role = 'service' WHERE id = '{}'", program.id);
    stack.database.run(&update).await;
    for format in ["csv", "jsonl"] {
        let less = text(&program, &format!("format={format}")).await;
        for medical in ["HYPERLINK", "itches", "all is well", "comments"] {
            assert!(!less.contains(medical), "{medical} in {less}");
        }
    }

    let operator = Staff::with_role(&stack, Role::Operator).await;
    assert_eq!(refusal(operator.get(PATH).await).await, (403, "forbidden".to_owned()));
    let wrong = admin.get(&format!("{PATH}?format=xml&page=1")).await;
    assert_eq!(refusal(wrong).await, (400, "invalid_query".to_owned()));
    let lines = stack
        .database
        .audited("SELECT details FROM audit WHERE action = 'submissions_export' ORDER BY number")
        .await;
    let told = r#"{"clinical":true,"filter":{"status":"completed,failed"},"format":"csv"}"#;
    assert_eq!((lines[0].as_str(), lines.len()), (told, 4));
    stack.stop().await;
}

/// So many submissions that an export of them does not fit into what lies between the processes.
async fn seed_many(stack: &Stack) {
    seeding::submission(&stack.store, "ana@example.org", &"x".repeat(5000), None).await;
    for _ in 0..13 {
        stack
            .database
            .run(
                "INSERT INTO submissions SELECT UUID(), email, comments, status, consent_version, \
                 consent_at, 1, 1, NULL, NULL, created_at, updated_at, NULL, NULL, NULL \
                 FROM submissions",
            )
            .await;
    }
}

#[tokio::test]
async fn an_export_breaks_off_when_its_caller_may_not_read_it_any_more() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    stack.start_api().await;
    seed_many(&stack).await;
    for lost in ["disabled_at = NOW(6)", "role = 'operator'", "role = 'service'"] {
        let admin = Staff::with_role(&stack, Role::Admin).await;
        let answer = admin.get(&format!("{PATH}?format=jsonl")).await;
        assert_eq!(answer.status(), 200);
        let mut chunks = answer.bytes_stream();
        chunks.next().await.expect("a beginning").expect("bytes");

        let id = admin.id;
        stack.database.run(&format!("UPDATE users SET {lost} WHERE id = '{id}'")).await;

        let mut end = Ok(());
        while let Some(chunk) = chunks.next().await {
            end = chunk.map(|_| ());
        }
        assert!(end.is_err(), "{lost}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn an_export_that_cannot_be_finished_does_not_look_whole() {
    let mut stack = Stack::without_processes(StackOptions::default()).await;
    let (line, url) = stack.database.by_proxy().await;
    stack.set("DATABASE_URL", url);
    stack.start_api().await;
    let admin = Staff::with_role(&stack, Role::Admin).await;
    seed_many(&stack).await;

    let answer = admin.get(&format!("{PATH}?format=jsonl")).await;
    assert_eq!(answer.status(), 200);
    let mut chunks = answer.bytes_stream();
    chunks.next().await.expect("a beginning").expect("bytes");
    line.cut();
    let mut end = Ok(());
    while let Some(chunk) = chunks.next().await {
        end = chunk.map(|_| ());
    }

    assert!(end.is_err(), "the connection broke before the end of the file");
    line.mend();
    stack.stop().await;
}
