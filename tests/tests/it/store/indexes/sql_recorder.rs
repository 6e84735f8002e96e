//! Records the SQL that the store sends to a database.

use diagflow_tests::database::Database;
use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Records the statements sent to one database. Diesel has a single instrumentation for the whole process, so the
/// recorder must ignore the databases of other tests.
static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);

struct Recorder {
    database: String,
    /// The recorded statements with their values, in Diesel's format.
    statements: Vec<String>,
}

fn recorder() -> MutexGuard<'static, Option<Recorder>> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts recording the statements that new connections send to `database`.
pub(super) fn start(database: &Database) {
    *recorder() = Some(Recorder { database: database.url(), statements: Vec::new() });
    set_default_instrumentation(|| Some(Box::new(Listener::default()))).expect("installed");
}

/// Stops recording. Returns each statement that reads or changes rows, with its values inserted.
pub(super) fn statements() -> Vec<String> {
    let shown = recorder().take().map(|recorder| recorder.statements).unwrap_or_default();
    let reads_or_changes_rows =
        |shown: &&String| ["SELECT", "UPDATE", "DELETE"].iter().any(|verb| shown.starts_with(verb));
    let mut statements: Vec<_> =
        shown.iter().filter(reads_or_changes_rows).map(|shown| with_values(shown)).collect();
    statements.sort();
    statements.dedup();
    statements
}

/// The instrumentation of one connection.
#[derive(Default)]
struct Listener {
    is_ours: bool,
}

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let mut recorder = recorder();
        let Some(recorder) = recorder.as_mut() else { return };
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                self.is_ours = url.starts_with(&recorder.database);
            }
            InstrumentationEvent::StartQuery { query, .. } if self.is_ours => {
                recorder.statements.push(query.to_string());
            }
            _ => {}
        }
    }
}

/// Inserts the values into a statement in the form `SELECT … ? -- binds: [value, …]`.
fn with_values(shown: &str) -> String {
    let (statement, values) = shown.split_once(" -- binds: ").expect("a statement and its values");
    let mut values = parts(&values[1..values.len() - 1]).into_iter().map(literal);
    let mut parts = statement.split('?');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for piece in parts {
        whole += &values.next().expect("a value for each placeholder");
        whole += piece;
    }
    whole
}

/// Splits a list in Rust's debug format into its items. Strings in the list may contain commas.
fn parts(shown: &str) -> Vec<&str> {
    let (mut parts, mut start_of_part) = (Vec::new(), 0);
    let (mut in_text, mut is_escaped) = (false, false);
    for (index, character) in shown.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => in_text = !in_text,
            ',' if !in_text => {
                parts.push(shown[start_of_part..index].trim());
                start_of_part = index + 1;
            }
            _ => {}
        }
    }
    parts.push(shown[start_of_part..].trim());
    parts
}

/// Converts a value from Rust's debug format to SQL. Examples of values are `5`, `"text"`, `SubmissionId(…)`, `Some(…)`
/// and `TimedOut`.
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
        // A value without a string or a wrapper is an id or the name of an enum variant.
        _ => format!("'{}'", snake_case(shown)),
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}
