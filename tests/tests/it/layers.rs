//! Checks that the dependencies between crates and between modules have no cycles, and that workflow code cannot do
//! I/O. The tests inspect the source code and the output of `cargo metadata` and `cargo tree`.

mod module_cycles;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

fn metadata() -> Value {
    // Without `--no-deps`, Cargo would also resolve the packages for other platforms, which fails with `--offline`
    // because those packages have not been downloaded.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--no-deps"])
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The workspace members that each member may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("diagflow-workflows", &[]),
    ("diagflow-locales", &[]),
    ("diagflow-photos", &[]),
    ("diagflow-store", &["diagflow-locales", "diagflow-photos"]),
    ("diagflow-simulators", &[]),
    ("diagflow-activities", &["diagflow-locales", "diagflow-store", "diagflow-workflows"]),
    (
        "diagflow-api",
        &["diagflow-locales", "diagflow-photos", "diagflow-store", "diagflow-workflows"],
    ),
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
    (
        "diagflow-tests",
        &["diagflow-photos", "diagflow-simulators", "diagflow-store", "diagflow-workflows"],
    ),
    ("xtask", &[]),
];

#[test]
fn crate_dependencies_are_acyclic_and_as_declared() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    assert_eq!(
        ours.len(),
        allowed.len(),
        "the workspace members differ from the rows of `ALLOWED`"
    );
    for package in ours {
        let name = package["name"].as_str().expect("a name");
        let row = allowed.get(name).unwrap_or_else(|| panic!("{name} has no row in `ALLOWED`"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            if dependency["path"].is_string() {
                let imported = dependency["name"].as_str().expect("a name");
                assert!(row.contains(&imported), "{name} must not import {imported}");
            }
        }
    }
}

/// The only crates that the workflow crate may depend on directly. None of them can do I/O. `futures` is excluded
/// because its `select!` polls in random order.
const WORKFLOWS_IMPORT: &[&str] = &[
    "serde",
    "temporalio-common-wasm",
    "temporalio-macros",
    "temporalio-protos",
    "temporalio-workflow",
];

/// Crates that do I/O. The workflow crate must not depend on any of them, directly or indirectly.
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

/// Returns the workflow crate's dependencies, down to the given depth of `cargo tree`.
fn reached(depth: &str) -> BTreeSet<String> {
    // `--package` excludes features that other workspace members enable in shared crates.
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
    assert!(
        all.len() > WORKFLOWS_IMPORT.len(),
        "`cargo tree` listed no indirect dependencies: {all:?}"
    );
    for io_crate in IO_CRATES {
        assert!(!all.contains(*io_crate), "workflow code depends on {io_crate}");
    }
}
