//! Dependencies between crates and between modules run in one direction, and workflow code can do
//! no I/O. Checked with `cargo metadata`, `cargo tree` and the source text.

mod module_cycles;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

fn metadata() -> Value {
    // Without the packages of others: cargo would want those of every platform, and has fetched those of this one.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--no-deps"])
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Which of ours each member may import.
const ALLOWED: &[(&str, &[&str])] = &[
    ("diagflow-workflows", &[]),
    ("diagflow-store", &[]),
    ("diagflow-simulators", &[]),
    ("diagflow-activities", &["diagflow-store", "diagflow-workflows"]),
    ("diagflow-api", &["diagflow-store", "diagflow-workflows"]),
    (
        "diagflow-cli",
        &[
            "diagflow-activities",
            "diagflow-api",
            "diagflow-simulators",
            "diagflow-store",
            "diagflow-workflows",
        ],
    ),
    ("diagflow-tests", &["diagflow-simulators", "diagflow-store", "diagflow-workflows"]),
    ("xtask", &[]),
];

#[test]
fn crate_dependencies_are_acyclic_and_as_declared() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    assert_eq!(ours.len(), allowed.len(), "a member without a row in this table");
    for package in ours {
        let name = package["name"].as_str().expect("a name");
        let row = allowed.get(name).unwrap_or_else(|| panic!("{name} has no row in this table"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            if dependency["path"].is_string() {
                let imported = dependency["name"].as_str().expect("a name");
                assert!(row.contains(&imported), "{name} must not import {imported}");
            }
        }
    }
}

/// What workflow code may import, each looked at: none of them can do I/O, and `futures` with its `select!`
/// in random order is not among them.
const WORKFLOWS_IMPORT: &[&str] = &[
    "serde",
    "temporalio-common-wasm",
    "temporalio-macros",
    "temporalio-protos",
    "temporalio-workflow",
];

/// Crates that talk to the world. What the imports above bring along must have none of them, either.
const IO_CRATES: &[&str] = &[
    "async-io",
    "axum",
    "diesel",
    "diesel-async",
    "hyper",
    "lettre",
    "mio",
    "mysql_async",
    "object_store",
    "redis",
    "reqwest",
    "rustls",
    "socket2",
    "temporalio-client",
    "temporalio-sdk",
    "temporalio-sdk-core",
    "ureq",
];

/// What a member of ours reaches, in the words of `cargo tree`.
fn reached(depth: &str) -> BTreeSet<String> {
    // Of this member alone: what others switch on in the crates that they share is not its doing.
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--package", "diagflow-workflows"])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}", "--depth", depth])
        .output()
        .expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("text");
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "diagflow-workflows").map(str::to_owned).collect()
}

#[test]
fn workflow_code_depends_on_no_io_crate() {
    assert_eq!(reached("1").iter().map(String::as_str).collect::<Vec<_>>(), WORKFLOWS_IMPORT);
    let all = reached("99");
    assert!(all.len() > WORKFLOWS_IMPORT.len(), "the walk found nothing: {all:?}");
    for io_crate in IO_CRATES {
        assert!(!all.contains(*io_crate), "workflows reaches {io_crate}");
    }
}
