//! Checks that the index test calls every store method.

use std::path::Path;

/// Source files that call the methods of the store.
const CALLS: [&str; 5] = [
    include_str!("submissions.rs"),
    include_str!("listings.rs"),
    include_str!("accounts.rs"),
    include_str!("../../store.rs"),
    include_str!("../../../../src/seeding.rs"),
];

/// Returns the names of all public asynchronous methods of `Store`.
fn store_methods() -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the store") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("a source");
            // The body of an `impl` block ends at the first brace in column one.
            let parts = source.split("\nimpl ").skip(1);
            let of_the_store = parts
                .filter(|part| part.starts_with("Store {") || part.starts_with("crate::Store {"));
            for part in of_the_store {
                let body = part.split("\n}\n").next().unwrap_or_default();
                let functions = body.split("pub async fn ").skip(1);
                names.extend(functions.filter_map(|function| {
                    let (name, rest) = function.split_once('(')?;
                    rest.trim_start().starts_with("&self").then(|| name.to_owned())
                }));
            }
        }
    }
    names.sort();
    names
}

#[test]
fn every_store_method_is_called() {
    let calls: String = CALLS.concat().split_whitespace().collect();
    let store_methods = store_methods();
    assert!(store_methods.len() > 70, "some store methods were not found: {store_methods:?}");
    let uncalled: Vec<_> =
        store_methods.iter().filter(|name| !calls.contains(&format!("store.{name}("))).collect();
    assert!(
        uncalled.is_empty(),
        "call these methods to have their query plans checked: {uncalled:?}"
    );
}
