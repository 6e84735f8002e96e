//! Copies of the workflow code for `src/replay.rs`: one as it is, the others with one careless change each. Made
//! from the source itself, so that nothing else can differ.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The files that make up a workflow; each uses those before it.
const FILES: [&str; 3] = ["policy", "delivery", "diagnosis"];

macro_rules! rest {
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
        name: "rests_after_the_request",
        file: "diagnosis",
        edits: &[("    let mut answered = 0;\n", concat!("    let mut answered = 0;\n", rest!()))],
    },
    Change {
        name: "rests_before_it_asks_again",
        file: "diagnosis",
        edits: &[(
            "    let options = policy::durable_request(",
            concat!(rest!(), "    let options = policy::durable_request("),
        )],
    },
    Change {
        name: "rests_after_a_look_in_vain",
        file: "diagnosis",
        edits: &[(
            "                wish = retry_after;\n",
            concat!("                wish = retry_after;\n", rest!()),
        )],
    },
    Change {
        name: "shows_why_before_it_is_recorded",
        file: "diagnosis",
        edits: &[(
            "    let input = EndInput {",
            "    ctx.upsert_search_attributes([FAILURE_CODE.value_set(code.clone())]);
    let input = EndInput {",
        )],
    },
    Change {
        name: "shows_the_end_after_the_mail",
        file: "diagnosis",
        edits: &[
            ("        note_end(ctx, &ended);\n", ""),
            ("        conclude(ctx, &ended)\n", "note_end(ctx, &ended);\nconclude(ctx, &ended)\n"),
        ],
    },
    Change {
        name: "rests_before_it_mails_again",
        file: "delivery",
        edits: &[(
            "    let options = policy::durable_mail(",
            concat!(rest!(), "    let options = policy::durable_mail("),
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
