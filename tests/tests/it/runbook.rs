//! The runbook knows every code by which a submission or an e-mail can fail.
//!
//! Codes are words of the program, each beside what it is about. So the program is read: every such word in
//! the places below is a code that the runbook explains, or stands in the list of those that are none.

use std::path::{Path, PathBuf};

/// Where failures get their codes.
const PLACES: [&str; 5] = [
    "activities/src",
    "workflows/src",
    "store/src/deliveries",
    "store/src/runs",
    "store/src/staff",
];
/// Words there that are no codes of failures: an attribute's value, a state, an answer to staff, limits of a
/// metric.
const NO_CODES: [&str; 5] = ["snake_case", "timed_out", "already_final", "at_once", "an_hour"];
/// What the names of metrics begin with.
const METRIC: &str = "diagflow_";

/// A source file, or all of them in a folder.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|_| panic!("{}", path.display()));
    entries.flat_map(|entry| sources(&entry.expect("an entry").path())).collect()
}

/// Whether a text looks like a code: words of small letters with `_` between them.
fn is_code(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    text.contains('_') && text.split('_').all(is_word)
}

/// The codes in a source file, without its tests and comments. A constant may name a code of one word.
fn codes(source: &str) -> Vec<String> {
    let program = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = program.lines().filter(|line| !line.trim_start().starts_with("//"));
    let of_line = |line: &str| {
        let is_named = line.contains("const CODE_");
        let literals: Vec<_> = line.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        literals.into_iter().filter(move |text| is_named || is_code(text))
    };
    lines.flat_map(of_line).collect()
}

#[test]
fn every_failure_code_is_in_the_runbook() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let runbook = include_str!("../../../docs/runbook.md");
    let mut known = Vec::new();
    let mut missing = Vec::new();
    for file in PLACES.iter().flat_map(|place| sources(&root.join(place))) {
        let source = std::fs::read_to_string(&file).expect("text");
        for code in codes(&source) {
            if NO_CODES.contains(&code.as_str()) || code.starts_with(METRIC) {
                continue;
            }
            let is_there = runbook.contains(&format!("`{code}`"));
            if is_there { &mut known } else { &mut missing }.push(code);
        }
    }
    missing.sort();
    missing.dedup();
    assert_eq!(missing, [""; 0]);
    // Or the program is not where it is looked for.
    for code in
        ["loopai_failed", "smtp_rejected", "run_orphaned", "superseded", "deadline_exceeded"]
    {
        assert!(known.iter().any(|found| found == code), "{code}");
    }
}
