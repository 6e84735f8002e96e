//! Generates a copy of the workflow code in which `src/replay.rs` can enable incompatible changes, one at a time. The
//! copy is generated from the source files, so that it does not differ in any other way.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The source files of the workflow code, in an order in which each file uses only the files before it.
const FILES: [&str; 3] = ["policy", "delivery", "diagnosis"];

const TIMER: &str = "ctx.timer(std::time::Duration::from_secs(1)).await;";

/// A change that is incompatible with recorded histories. `src/replay.rs` lists the cases that reach the changed code.
struct Change {
    name: &'static str,
    file: &'static str,
    edits: &'static [Edit],
}

/// An edit at a source line that must occur exactly once.
enum Edit {
    InsertBefore(&'static str, &'static str),
    InsertAfter(&'static str, &'static str),
    Remove(&'static str),
}

/// A line that every run reaches before it sends an e-mail.
const BEFORE_EMAIL: &str = "let input = DeliverInput { delivery_id, give_up: false };";

const CHANGES: [Change; 9] = [
    Change {
        name: "timer_after_request",
        file: "diagnosis",
        edits: &[Edit::InsertAfter("let mut seen_callbacks = 0;", TIMER)],
    },
    Change {
        name: "timer_before_request_retry",
        file: "diagnosis",
        edits: &[Edit::InsertBefore(
            "let options = policy::durable_request(remaining(ctx, started_at));",
            TIMER,
        )],
    },
    Change {
        name: "timer_after_inconclusive_poll",
        file: "diagnosis",
        edits: &[Edit::InsertAfter("requested_delay = retry_after;", TIMER)],
    },
    Change {
        name: "failure_code_set_before_recording",
        file: "diagnosis",
        edits: &[Edit::InsertBefore(
            "let input = EndInput { run: run_ref(ctx), status, code };",
            "ctx.upsert_search_attributes([FAILURE_CODE.value_set(code.clone())]);",
        )],
    },
    Change {
        name: "end_published_after_email",
        file: "diagnosis",
        edits: &[
            Edit::Remove("publish_end(ctx, &outcome);"),
            Edit::InsertBefore("close(ctx, &outcome)", "publish_end(ctx, &outcome);"),
        ],
    },
    Change {
        name: "timer_before_email_retry",
        file: "delivery",
        edits: &[Edit::InsertBefore(
            "let options = policy::durable_email(\"e-mail the patient\", cancellation.clone());",
            TIMER,
        )],
    },
    // The three releases of a patch (docs/CHANGING-WORKFLOWS.md). The first change is compatible with all histories, the
    // second one with the histories that contain the patch, and the third one with none.
    Change {
        name: "pause_with_patch",
        file: "delivery",
        edits: &[Edit::InsertBefore(
            BEFORE_EMAIL,
            "let is_patched = ctx.patched(\"pause-before-email\"); if is_patched { ctx.timer(std::time::Duration::from_secs(1)).await; }",
        )],
    },
    Change {
        name: "pause_with_deprecated_patch",
        file: "delivery",
        edits: &[Edit::InsertBefore(
            BEFORE_EMAIL,
            "ctx.deprecate_patch(\"pause-before-email\"); ctx.timer(std::time::Duration::from_secs(1)).await;",
        )],
    },
    Change {
        name: "pause_without_patch",
        file: "delivery",
        edits: &[Edit::InsertBefore(BEFORE_EMAIL, TIMER)],
    },
];

fn main() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/src");
    let mut copy = String::new();
    for file in FILES {
        let mut text = read(&source, file);
        for change in CHANGES.iter().filter(|change| change.file == file) {
            for edit in change.edits {
                apply(edit, change.name, &mut text);
            }
        }
        writeln!(copy, "pub(crate) mod {file} {{\n{text}}}")
            .expect("writing to a string cannot fail");
    }
    let names = CHANGES.map(|change| change.name);
    writeln!(copy, "pub(crate) const CHANGES: [&str; {}] = {names:?};", names.len())
        .expect("writing to a string cannot fail");
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    fs::write(target.join("workflow_copy.rs"), copy).expect("a written file");
}

/// Reads a source file without its tests, and changes its paths so that the code compiles as a module of this crate.
fn read(source: &Path, file: &str) -> String {
    let path = source.join(file).with_extension("rs");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).expect("the workflow code");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let inside = |line: &&str| !line.starts_with("//!") && !line.starts_with("#![");
    let lines: String = code.lines().filter(inside).flat_map(|line| [line, "\n"]).collect();
    lines
        .replace("crate::contract", "diagflow_workflows::contract")
        .replace("crate::policy", "super::policy")
        .replace("crate::delivery", "super::delivery")
}

fn apply(edit: &Edit, change: &str, text: &mut String) {
    let is_active = format!("crate::replay::is_active({change:?})");
    let (line, becomes) = match edit {
        Edit::InsertBefore(line, inserted) => {
            (line, format!("if {is_active} {{ {inserted} }}\n{line}"))
        }
        Edit::InsertAfter(line, inserted) => {
            (line, format!("{line}\nif {is_active} {{ {inserted} }}"))
        }
        Edit::Remove(line) => (line, format!("if !{is_active} {{ {line} }}")),
    };
    let count = text.lines().filter(|it| it.trim() == *line).count();
    assert_eq!(count, 1, "{change}: {line:?} must occur exactly once in the workflow code");
    *text = text
        .lines()
        .flat_map(|it| [if it.trim() == *line { becomes.as_str() } else { it }, "\n"])
        .collect();
}
