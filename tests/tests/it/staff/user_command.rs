//! Tests of the command `diagflow user`, which creates the first admin.

use crate::command_line::Exit;
use diagflow_tests::database::Database;
use diagflow_tests::eventually::LIMIT;
use diagflow_tests::stack::AUDIT_KEY;
use diagflow_tests::staff::PASSWORD;
use diagflow_tests::{Stack, StackOptions, servers};
use nix::pty::openpty;
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

fn command(database: &Database, arguments: &[&str]) -> Command {
    let mut command = Command::new(servers::diagflow());
    command.arg("user").args(arguments).env_clear();
    command.env("DATABASE_URL", database.url()).env("AUDIT_KEY", AUDIT_KEY);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs `diagflow user` with `input` as its standard input.
async fn user(database: &Database, arguments: &[&str], input: &str) -> Exit {
    let mut child = command(database, arguments).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a standard input");
    // A write error is ignored, because the command may exit without reading its input.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(LIMIT, child.wait_with_output()).await;
    output.unwrap_or_else(|_| panic!("{arguments:?} does not exit")).expect("runs").into()
}

/// Returns the audit entries of all `diagflow user` commands.
async fn audit_entries(database: &Database) -> Vec<String> {
    let query = "SELECT CONCAT_WS(' ', action, actor_kind, result) FROM audit \
                 WHERE action LIKE 'user%' AND actor_name <> '' ORDER BY number";
    database.texts(query).await
}

fn create<'a>(email: &'a str, role: &'a str) -> Vec<&'a str> {
    vec!["create", "--email", email, "--name", "Ana", "--role", role, "--password-stdin"]
}

#[tokio::test]
async fn the_first_admin_is_created_and_signs_in() {
    let stack = Stack::api_only(StackOptions::default()).await;
    let database = &stack.database;

    let created =
        user(database, &create("Root@example.org", "admin"), &format!("{PASSWORD}\n")).await;

    assert!(created.success && created.stderr.is_empty(), "{created:?}");
    let given = json!({"email": "root@example.org", "password": PASSWORD});
    let call = reqwest::Client::new().post(stack.client.url("/api/v1/auth/login"));
    assert_eq!(call.json(&given).send().await.expect("a response").status(), 200);
    let second = user(database, &create("root@example.org", "admin"), PASSWORD).await;
    assert!(!second.success && second.stderr.contains("already exists"), "{second:?}");
    let weak = user(database, &create("ana@example.org", "operator"), "password1234\n").await;
    assert!(!weak.success && weak.stderr.contains("too easy to guess"), "{weak:?}");
    let role = user(database, &create("ana@example.org", "king"), PASSWORD).await;
    assert!(!role.success && role.stderr.contains("--role"), "{role:?}");
    let no_terminal = ["create", "--email", "ana@example.org", "--name", "Ana", "--role", "admin"];
    let without_terminal = user(database, &no_terminal, PASSWORD).await;
    assert!(
        !without_terminal.success && without_terminal.stderr.contains("use --password-stdin"),
        "{without_terminal:?}"
    );
    let program = ["create", "--email", "bot@example.org", "--name", "Bot", "--role", "service"];
    assert!(
        user(database, &program, "").await.success,
        "creating a service account without a password failed"
    );

    let list = user(database, &["list"], "").await;
    assert_eq!(list.stdout.lines().count(), 2, "{list:?}");
    assert!(
        list.stdout.contains("root@example.org") && list.stdout.contains("service"),
        "{list:?}"
    );
    let last = user(database, &["disable", "--email", "root@example.org"], "").await;
    assert!(!last.success && last.stderr.contains("is the last admin"), "{last:?}");
    let bot = user(database, &["disable", "--email", "bot@example.org"], "").await;
    assert!(bot.success, "{bot:?}");
    let nobody = user(database, &["disable", "--email", "nobody@example.org"], "").await;
    assert!(!nobody.success && nobody.stderr.contains("no account has the address"), "{nobody:?}");
    let list = user(database, &["list"], "").await;
    assert!(list.stdout.lines().any(|line| line.contains("disabled") && line.contains("bot@")));
    let expected = [
        ("user_create", "success"),
        ("user_create", "email_taken"),
        ("user_create", "invalid_input"),
        ("user_create", "success"),
        ("users_view", "success"),
        ("user_disable", "last_admin"),
        ("user_disable", "success"),
        ("user_disable", "not_found"),
        ("users_view", "success"),
    ];
    let expected = expected.map(|(action, result)| format!("{action} operator {result}"));
    assert_eq!(audit_entries(database).await, expected);
    stack.stop().await;
}

#[tokio::test]
async fn a_typed_password_is_requested_twice_and_never_echoed() {
    let database = Database::migrated().await;
    let arguments = ["create", "--email", "ana@example.org", "--name", "Ana", "--role", "admin"];
    for (typed, success) in [([PASSWORD, "something else"], false), ([PASSWORD, PASSWORD], true)] {
        let terminal = openpty(None, None).expect("a terminal");
        let mut keyboard = File::from(terminal.master);
        let mut child = command(&database, &arguments);
        let mut child = child.stdin(Stdio::from(terminal.slave)).spawn().expect("started");
        let mut stderr = child.stderr.take().expect("a pipe");
        for (prompt, text) in ["Password: ", "Repeat password: "].into_iter().zip(typed) {
            let mut shown = vec![0; prompt.len()];
            let read = tokio::io::AsyncReadExt::read_exact(&mut stderr, &mut shown);
            timeout(LIMIT, read).await.expect("in time").expect("a prompt");
            assert_eq!(String::from_utf8_lossy(&shown), prompt);
            keyboard.write_all(format!("{text}\n").as_bytes()).expect("written");
        }
        let status = timeout(LIMIT, child.wait()).await.expect("an exit").expect("runs");
        assert_eq!(status.success(), success);
        let mut seen = [0; 256];
        // If the command printed nothing to the terminal, reading fails because the other end is closed.
        let seen = keyboard.read(&mut seen).map(|count| seen[..count].to_vec()).unwrap_or_default();
        let seen = String::from_utf8_lossy(&seen);
        assert!(!seen.contains("horse") && !seen.contains("something"), "{seen}");
    }
    assert_eq!(database.count_rows("users").await, 1);
    database.remove().await;
}

#[tokio::test]
async fn production_creates_no_account_with_the_default_audit_key() {
    let database = Database::migrated().await;
    let mut list = command(&database, &["list"]);
    let output = list.env("DIAGFLOW_ENV", "production").env_remove("AUDIT_KEY").output();
    let exit = Exit::from(timeout(LIMIT, output).await.expect("an exit").expect("runs"));
    assert!(!exit.success && exit.stderr.contains("AUDIT_KEY: Use at least"), "{exit:?}");
    database.remove().await;
}
