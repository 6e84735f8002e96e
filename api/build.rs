//! Recompiles the crate when a file is added to the embedded assets or to the templates.

fn main() {
    println!("cargo::rerun-if-changed=assets/pages");
    println!("cargo::rerun-if-changed=templates");
}
