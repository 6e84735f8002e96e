//! Checks that every path, test, link and heading mentioned in the documentation exists.

use std::path::{Path, PathBuf};

/// Prefixes that identify text in backticks as a path in this repository.
const FOLDERS: [&str; 12] = [
    "activities/",
    "api/",
    "cli/",
    "deploy/",
    "docs/",
    "migrations/",
    "simulators/",
    "store/",
    "tests/",
    "workflows/",
    "xtask/",
    ".github/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<PathBuf> {
    let folder = |path: PathBuf| {
        let entries = std::fs::read_dir(path).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let mut pages = folder(root().join("docs"));
    pages.extend(folder(root().join("docs/adr")));
    pages.extend([root().join("README.md"), root().join("migrations/README.md")]);
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// Returns a page's text without its fenced code blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

fn code_spans(prose: &str) -> impl Iterator<Item = &str> {
    prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Returns the targets of all Markdown links except those to other hosts.
fn links(prose: &str) -> impl Iterator<Item = &str> {
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.starts_with("http"))
}

/// Returns the anchor that GitHub generates for a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let valid = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    valid.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn has_anchor(page: &str, wanted: &str) -> bool {
    prose(page).lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == wanted)
}

/// Describes the problem if a code span names a file or a test that does not exist in this repository.
fn broken_path(span: &str) -> Option<String> {
    let span = match span.strip_prefix("it/") {
        Some(rest) => format!("tests/tests/it/{rest}"),
        None => span.to_owned(),
    };
    let names_a_path = FOLDERS.iter().any(|folder| span.starts_with(folder));
    if !names_a_path || span.contains(['…', '{', '*', ' ', '<']) {
        return None;
    }
    let (path, test) =
        span.split_once("::").map_or((&*span, None), |(path, test)| (path, Some(test)));
    let file = root().join(path);
    if !file.exists() {
        return Some(format!("{path} does not exist"));
    }
    let test = test?;
    let source = std::fs::read_to_string(file).unwrap_or_default();
    (!source.contains(&format!("fn {test}("))).then(|| format!("{path} has no test {test}"))
}

fn broken_link(page: &Path, text: &str, link: &str) -> Option<String> {
    let (path, anchor) =
        link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = page.parent().expect("a folder").join(path);
    let is_page = path.is_empty() || target.extension().is_some_and(|extension| extension == "md");
    if !path.is_empty() && !target.exists() {
        return Some(format!("{link} does not exist"));
    }
    let anchor = anchor.filter(|_| is_page)?;
    let target =
        if path.is_empty() { text.to_owned() } else { std::fs::read_to_string(&target).ok()? };
    (!has_anchor(&target, anchor)).then(|| format!("{link}: there is no such heading"))
}

fn broken(page: &Path, text: &str) -> Vec<String> {
    let prose = prose(text);
    let paths = code_spans(&prose).filter_map(broken_path);
    paths.chain(links(&prose).filter_map(|link| broken_link(page, text, link))).collect()
}

#[test]
fn every_reference_in_the_documentation_has_a_target() {
    let mut faults = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        faults.extend(
            broken(&page, &text).into_iter().map(|fault| format!("{}: {fault}", page.display())),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_broken_reference_is_found() {
    let page = root().join("docs/README.md");
    for wrong in [
        "`store/src/none.rs`",
        "`it/documentation.rs::no_such_test`",
        "[here](none.md)",
        "[here](#none)",
        "[here](../README.md#none)",
    ] {
        assert_eq!(broken(&page, wrong).len(), 1, "{wrong}");
    }
    let right = "# One `x`\n`it/documentation.rs::a_broken_reference_is_found` [a](#one-x) [b](../README.md#two-commands)";
    assert_eq!(broken(&page, right), [""; 0]);
}
