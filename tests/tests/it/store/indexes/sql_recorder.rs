//! Hears what the store says to a database.

use diagflow_tests::database::Database;
use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is listened to, and what was overheard of it. Diesel takes one listener for the process, in
/// which other tests talk to databases of their own.
static EAR: Mutex<Option<Ear>> = Mutex::new(None);

struct Ear {
    database: String,
    /// Each statement with its values, as Diesel shows it.
    overheard: Vec<String>,
}

fn ear() -> MutexGuard<'static, Option<Ear>> {
    EAR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens to what is said to `database` on connections that are opened from now on.
pub(super) fn listen_to(database: &Database) {
    *ear() = Some(Ear { database: database.url(), overheard: Vec::new() });
    set_default_instrumentation(|| Some(Box::new(Listener::default()))).expect("listens");
}

/// Ends the listening; returns each statement that reads or changes rows, with its values in it.
pub(super) fn overheard() -> Vec<String> {
    let shown = ear().take().map(|ear| ear.overheard).unwrap_or_default();
    let looks_for_rows =
        |shown: &&String| ["SELECT", "UPDATE", "DELETE"].iter().any(|verb| shown.starts_with(verb));
    let mut statements: Vec<_> =
        shown.iter().filter(looks_for_rows).map(|shown| with_values(shown)).collect();
    statements.sort();
    statements.dedup();
    statements
}

/// The listener of one connection.
#[derive(Default)]
struct Listener {
    is_ours: bool,
}

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let mut ear = ear();
        let Some(ear) = ear.as_mut() else { return };
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                self.is_ours = url.starts_with(&ear.database);
            }
            InstrumentationEvent::StartQuery { query, .. } if self.is_ours => {
                ear.overheard.push(query.to_string());
            }
            _ => {}
        }
    }
}

/// A statement with its values in it, from `SELECT … ? -- binds: [value, …]`.
fn with_values(shown: &str) -> String {
    let (statement, values) = shown.split_once(" -- binds: ").expect("a statement and its values");
    let mut values = pieces(&values[1..values.len() - 1]).into_iter().map(literal);
    let mut pieces = statement.split('?');
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        whole += &values.next().expect("a value for each place");
        whole += piece;
    }
    whole
}

/// The members of a list as Rust shows it. Texts may have commas in them.
fn pieces(shown: &str) -> Vec<&str> {
    let (mut pieces, mut begin) = (Vec::new(), 0);
    let (mut in_text, mut is_escaped) = (false, false);
    for (place, letter) in shown.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => in_text = !in_text,
            ',' if !in_text => {
                pieces.push(shown[begin..place].trim());
                begin = place + 1;
            }
            _ => {}
        }
    }
    pieces.push(shown[begin..].trim());
    pieces
}

/// A value as SQL, from how Rust shows it: `5`, `"text"`, `SubmissionId(…)`, `Some(…)`, `TimedOut`.
fn literal(shown: &str) -> String {
    if shown == "None" {
        return "NULL".to_owned();
    }
    if shown.parse::<i64>().is_ok() {
        return shown.to_owned();
    }
    if let Ok(time) = shown.parse::<chrono::NaiveDateTime>() {
        return format!("'{}'", time.format("%Y-%m-%d %H:%M:%S%.6f"));
    }
    if let Some(text) = shown.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    match shown.split_once('(') {
        Some((_, inner)) if !inner.starts_with('.') => literal(&inner[..inner.len() - 1]),
        // An id, or the name of a variant.
        _ => format!("'{}'", snake_case(shown)),
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
