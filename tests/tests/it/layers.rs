//! Imports run one way, and the workflow code can do no I/O. Proved from `cargo metadata`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
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
    (
        "diagflow-tests",
        &["diagflow-activities", "diagflow-simulators", "diagflow-store", "diagflow-workflows"],
    ),
    ("xtask", &[]),
];

#[test]
fn imports_run_one_way() {
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

/// Crates that talk to the world, of those anywhere in this workspace.
const IO_CRATES: &[&str] = &[
    "axum",
    "diesel",
    "diesel-async",
    "lettre",
    "mysql_async",
    "object_store",
    "reqwest",
    "rustls",
    "temporalio-client",
    "temporalio-sdk",
    "temporalio-sdk-core",
];

#[test]
fn workflow_code_reaches_no_io_crate() {
    let metadata = metadata();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| (node["id"].as_str().expect("an id"), node))
        .collect();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            (package["id"].as_str().expect("an id"), package["name"].as_str().expect("a name"))
        })
        .collect();
    let root = names.iter().find(|(_, name)| **name == "diagflow-workflows").expect("the crate").0;
    let mut seen = BTreeSet::new();
    let mut queue = vec![*root];
    while let Some(id) = queue.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes[id]["deps"].as_array().expect("deps") {
            let is_normal = dependency["dep_kinds"]
                .as_array()
                .expect("kinds")
                .iter()
                .any(|kind| kind["kind"].is_null());
            if is_normal {
                queue.push(dependency["pkg"].as_str().expect("an id"));
            }
        }
    }
    let reached: BTreeSet<&str> = seen.iter().map(|id| names[id]).collect();
    assert!(reached.contains("temporalio-workflow"), "the walk found nothing: {reached:?}");
    for io in IO_CRATES {
        assert!(!reached.contains(io), "workflows reaches {io}");
    }
}
