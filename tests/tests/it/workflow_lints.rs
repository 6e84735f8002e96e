//! Checks that Clippy rejects nondeterministic workflow code. A replay must repeat the decisions of the original run,
//! so `workflows/clippy.toml` lists disallowed items, and `cargo xtask test` runs Clippy.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Each pair contains a disallowed item and code that uses it.
const BANNED: [(&str, &str); 28] = [
    ("std::time::SystemTime::now", "let _ = SystemTime::now();"),
    ("std::time::Instant::now", "let _ = Instant::now();"),
    ("std::time::SystemTime::elapsed", "let _ = std::time::UNIX_EPOCH.elapsed();"),
    ("std::time::Instant::elapsed", "let _ = |since: Instant| since.elapsed();"),
    ("std::thread::sleep", "std::thread::sleep(std::time::Duration::ZERO);"),
    ("std::thread::spawn", "drop(std::thread::spawn(|| ()));"),
    ("std::env::var", "let _ = std::env::var(\"HOME\");"),
    ("std::env::var_os", "let _ = std::env::var_os(\"HOME\");"),
    ("std::env::vars_os", "let _ = std::env::vars_os();"),
    ("std::env::args", "let _ = std::env::args();"),
    ("std::env::vars", "let _ = std::env::vars();"),
    ("std::fs::read", "let _ = std::fs::read(\"/\");"),
    ("std::fs::read_to_string", "let _ = std::fs::read_to_string(\"/\");"),
    ("std::path::Path::exists", "let _ = path.exists();"),
    ("std::path::Path::is_file", "let _ = path.is_file();"),
    ("std::path::Path::is_dir", "let _ = path.is_dir();"),
    ("std::path::Path::metadata", "let _ = path.metadata();"),
    ("std::path::Path::read_dir", "let _ = path.read_dir();"),
    ("std::fs::metadata", "let _ = std::fs::metadata(path);"),
    ("std::fs::read_dir", "let _ = std::fs::read_dir(path);"),
    ("std::fs::write", "let _ = std::fs::write(path, b\"\");"),
    ("std::process::id", "let _ = std::process::id();"),
    ("std::collections::HashMap", "let _ = |_: std::collections::HashMap<u8, u8>| ();"),
    ("std::collections::HashSet", "let _ = |_: std::collections::HashSet<u8>| ();"),
    ("std::hash::RandomState", "let _ = |_: std::hash::RandomState| ();"),
    ("std::fs::File", "let _ = |_: std::fs::File| ();"),
    ("std::net::TcpStream", "let _ = |_: std::net::TcpStream| ();"),
    ("std::println", "println!();"),
];

fn workflows() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows")
}

/// Runs Clippy on the given lines with the workflow crate's settings. Returns Clippy's output.
fn clippy_output(lines: &str) -> String {
    let folder = TempDir::new().expect("a folder");
    let source = folder.path().join("lib.rs");
    let text = format!(
        "#![allow(dead_code)]\n\
         use std::time::{{Instant, SystemTime}};\n\
         fn banned(path: &std::path::Path) {{\n{lines}\n}}\n"
    );
    std::fs::write(&source, text).expect("written");
    // The test uses Clippy from the toolchain that runs the test.
    let clippy = Path::new(env!("CARGO")).with_file_name("clippy-driver");
    let done = Command::new(&clippy)
        .env("CARGO_MANIFEST_DIR", workflows())
        .env_remove("CLIPPY_CONF_DIR")
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--out-dir"])
        .args([folder.path(), &source])
        .output()
        .unwrap_or_else(|error| {
            panic!("{}: {error}; add it with `rustup component add clippy`", clippy.display())
        });
    let output = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{output}");
    output
}

#[test]
fn clippy_finds_each_banned_item_in_workflow_code() {
    let lines: Vec<&str> = BANNED.iter().map(|(_, line)| *line).collect();
    let output = clippy_output(&lines.join("\n"));

    for (path, line) in BANNED {
        let kinds = ["method", "type", "macro"];
        let found = kinds
            .iter()
            .any(|kind| output.contains(&format!("use of a disallowed {kind} `{path}`")));
        assert!(found, "Clippy does not report {path} in `{line}`:\n{output}");
    }
    assert!(!output.contains("clippy.toml:"), "a path in `clippy.toml` does not exist:\n{output}");
}

#[test]
fn every_banned_item_has_an_example() {
    let toml = std::fs::read_to_string(workflows().join("clippy.toml")).expect("the list");
    let mut paths: Vec<_> = toml
        .lines()
        .filter_map(|line| line.split_once("path = \"")?.1.split_once('"').map(|(path, _)| path))
        .collect();
    let mut used = BANNED.map(|(path, _)| path);
    paths.sort_unstable();
    used.sort_unstable();
    assert_eq!(paths, used);
}
