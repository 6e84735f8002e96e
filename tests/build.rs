//! Copies of the workflow code for `src/replay.rs`: one as it is, the others with one careless change each. Made
//! from the source itself, so that nothing else can differ.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The files that make up a workflow; each uses those before it.
const FILES: [&str; 3] = ["policy", "delivery", "diagnosis"];

macro_rules! timer {
    () => {
        "    ctx.timer(std::time::Duration::from_secs(1)).await;\n"
    };
}

/// A careless change.
struct Change {
    /// Names the copy.
    name: &'static str,
    file: &'static str,
    /// Places, each of which is there once, and what comes to stand there.
    edits: &'static [(&'static str, &'static str)],
}

/// Which cases pass what is changed, `src/replay.rs` knows.
const CHANGES: [Change; 6] = [
    Change {
        name: "timer_after_request",
        file: "diagnosis",
        edits: &[(
            "    let mut seen_callbacks = 0;\n",
            concat!("    let mut seen_callbacks = 0;\n", timer!()),
        )],
    },
    Change {
        name: "timer_before_request_retry",
        file: "diagnosis",
        edits: &[(
            "    let options = policy::durable_request(",
            concat!(timer!(), "    let options = policy::durable_request("),
        )],
    },
    Change {
        name: "timer_after_inconclusive_poll",
        file: "diagnosis",
        edits: &[(
            "                requested_delay = retry_after;\n",
            concat!("                requested_delay = retry_after;\n", timer!()),
        )],
    },
    Change {
        name: "failure_code_set_before_recording",
        file: "diagnosis",
        edits: &[(
            "    let input = EndInput {",
            "    ctx.upsert_search_attributes([FAILURE_CODE.value_set(code.clone())]);
    let input = EndInput {",
        )],
    },
    Change {
        name: "end_published_after_email",
        file: "diagnosis",
        edits: &[
            ("        publish_end(ctx, &ended);\n", ""),
            ("        close(ctx, &ended)\n", "publish_end(ctx, &ended);\nclose(ctx, &ended)\n"),
        ],
    },
    Change {
        name: "timer_before_email_retry",
        file: "delivery",
        edits: &[(
            "    let options = policy::durable_email(",
            concat!(timer!(), "    let options = policy::durable_email("),
        )],
    },
];

fn main() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/src");
    let files = FILES.map(|file| (file, read(&source, file)));
    let mut copies = copy("unchanged", &files, None);
    for change in &CHANGES {
        copies.push_str(&copy(change.name, &files, Some(change)));
    }
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(target.join("workflow_copies.rs"), copies).expect("written");
}

/// A file of the source, without its tests, as it is read in a module of another crate.
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

fn copy(name: &str, files: &[(&str, String)], change: Option<&Change>) -> String {
    let mut copy = format!("pub(crate) mod {name} {{\n");
    for (file, text) in files {
        let mut text = text.clone();
        for (place, becomes) in change.filter(|it| it.file == *file).map_or(&[][..], |it| it.edits)
        {
            assert_eq!(text.matches(place).count(), 1, "{name}: where is {place:?}?");
            text = text.replace(place, becomes);
        }
        writeln!(copy, "pub(crate) mod {file} {{\n{text}}}").expect("a text grows");
    }
    copy + "}\n"
}
