//! Checks that the modules of a crate have no import cycles, except between a module and its own submodules. Imports
//! are read from the source code: `use` trees, paths that begin with `crate`, `super` or `self`, and paths through an
//! imported module.

use super::metadata;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

/// A module's path in its crate. The path of the root module is empty.
type Module = Vec<String>;

/// A module's source, without comments and unit tests.
struct Source {
    code: String,
    /// Maps each name that the module re-exports with `pub use` to the original path.
    exports: BTreeMap<String, Vec<String>>,
}

#[derive(Default)]
struct Modules(BTreeMap<Module, Source>);

impl Modules {
    /// Reads a crate's source files, excluding its unit tests. `root` is the path of `lib.rs` or `main.rs`.
    fn read(root: &Path) -> Modules {
        let folder = root.parent().expect("the root's folder");
        let mut modules = Modules::default();
        let mut folders = vec![(folder.to_owned(), Module::new())];
        while let Some((folder, parent)) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a readable folder") {
                let path = entry.expect("a readable entry").path();
                let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
                let is_root = parent.is_empty() && ["lib", "main"].contains(&name.as_str());
                let module = match name.as_str() {
                    "tests" => continue,
                    "mod" => parent.clone(),
                    _ if is_root => Module::new(),
                    _ => parent.iter().cloned().chain([name]).collect(),
                };
                if path.is_dir() {
                    folders.push((path, module));
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    modules.add(module, &std::fs::read_to_string(&path).expect("UTF-8"));
                }
            }
        }
        modules
    }

    fn add(&mut self, module: Module, text: &str) {
        let code = without_tests_and_comments(text);
        let exports = use_trees(&code)
            .filter(|(is_public, _)| *is_public)
            .flat_map(|(_, tree)| expand(tree))
            .filter_map(|path| Some((path.last()?.clone(), path)))
            .collect();
        self.0.insert(module, Source { code, exports });
    }

    /// Returns the modules imported by `module`, excluding the module itself, its ancestors and its descendants.
    fn imports(&self, module: &Module) -> BTreeSet<Module> {
        let code = &self.0[module].code;
        let mut paths: Vec<_> = use_trees(code).flat_map(|(_, tree)| expand(tree)).collect();
        let is_module = |path: &&Vec<String>| {
            self.resolve(module, path).is_some_and(|found| path.last() == found.last())
        };
        let aliases: BTreeMap<String, Vec<String>> = paths
            .iter()
            .filter(is_module)
            .filter_map(|path| Some((path.last()?.clone(), path.clone())))
            .collect();
        for path in qualified_paths(code) {
            match aliases.get(&path[0]) {
                Some(alias) => paths.push(alias.iter().chain(&path[1..]).cloned().collect()),
                None => paths.push(path),
            }
        }
        let found = paths.iter().filter_map(|path| self.resolve(module, path));
        found.filter(|other| !other.starts_with(module) && !module.starts_with(other)).collect()
    }

    /// Follows re-exports to find the module that defines an item. `path` is the item's path in the module `from`.
    fn resolve(&self, from: &Module, path: &[String]) -> Option<Module> {
        let mut module = match path.first()?.as_str() {
            "crate" => Module::new(),
            "self" | "super" => from.clone(),
            name => {
                let child = [from.as_slice(), &[name.to_owned()]].concat();
                return self.0.contains_key(&child).then(|| self.descend(child, &path[1..]));
            }
        };
        let mut rest = &path[1..];
        if path[0] == "super" {
            module.pop()?;
            while rest.first().is_some_and(|segment| segment == "super") {
                module.pop()?;
                rest = &rest[1..];
            }
        }
        Some(self.descend(module, rest))
    }

    fn descend(&self, mut module: Module, path: &[String]) -> Module {
        for (index, segment) in path.iter().enumerate() {
            let child = [module.as_slice(), std::slice::from_ref(segment)].concat();
            if self.0.contains_key(&child) {
                module = child;
                continue;
            }
            let export = self.0.get(&module).and_then(|source| source.exports.get(segment));
            let Some(export) = export.filter(|export| export.first() != Some(segment)) else {
                break;
            };
            let target = [export.as_slice(), &path[index + 1..]].concat();
            return self.resolve(&module, &target).unwrap_or(module);
        }
        module
    }

    /// Returns the shortest cycle through each module, such as `a → b → a`, without duplicates.
    fn cycles(&self) -> BTreeSet<String> {
        let imports: BTreeMap<_, _> =
            self.0.keys().map(|module| (module, self.imports(module))).collect();
        let mut seen = BTreeSet::new();
        let mut cycles = BTreeSet::new();
        for module in self.0.keys() {
            let Some(cycle) = cycle_through(module, &imports) else { continue };
            if seen.insert(cycle.iter().cloned().collect::<BTreeSet<_>>()) {
                let names = cycle.iter().chain([module]).map(|module| module.join("::"));
                cycles.insert(names.collect::<Vec<_>>().join(" → "));
            }
        }
        cycles
    }
}

/// Returns the shortest chain of imports that leads from a module back to itself.
fn cycle_through(
    module: &Module,
    imports: &BTreeMap<&Module, BTreeSet<Module>>,
) -> Option<Vec<Module>> {
    let mut queue = VecDeque::from([vec![module.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = queue.pop_front() {
        for next in imports.get(way.last()?).into_iter().flatten() {
            if next == module {
                return Some(way);
            }
            if seen.insert(next.clone()) {
                queue.push_back(way.iter().chain([next]).cloned().collect());
            }
        }
    }
    None
}

/// Returns the code that precedes a file's unit tests, without comments.
fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns each `use` tree in `code` and whether it is a re-export.
fn use_trees(code: &str) -> impl Iterator<Item = (bool, &str)> {
    code.split_inclusive(';').filter_map(|statement| {
        let (before, tree) = statement.split_once("use ")?;
        let line = before.rsplit('\n').next().unwrap_or_default().trim();
        let is_import = line.is_empty() || line.starts_with("pub");
        is_import.then(|| (line.starts_with("pub"), tree.trim_end_matches(';')))
    })
}

/// Expands a `use` tree into its paths. For example, `a::{b, c::d}` becomes `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().split("::");
        let path = path.map(|segment| segment.trim().to_owned());
        return vec![path.filter(|segment| !["", "*"].contains(&segment.as_str())).collect()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut branches) = (0, vec![String::new()]);
    for character in inner.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => branches.push(String::new()),
            _ => {}
        }
        if character != ',' || depth > 0 {
            branches.last_mut().expect("one branch").push(character);
        }
    }
    let branches = branches.iter().filter(|branch| !branch.trim().is_empty());
    branches.flat_map(|branch| expand(&format!("{prefix}{}", branch.trim()))).collect()
}

/// Returns all paths in `code` that have at least two segments.
fn qualified_paths(code: &str) -> Vec<Vec<String>> {
    let is_path =
        |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    let words = code.split(|character| !is_path(character)).filter(|word| word.contains("::"));
    words
        .map(|word| word.split("::").map(str::to_owned).filter(|it| !it.is_empty()).collect())
        .filter(|path: &Vec<String>| !path.is_empty())
        .collect()
}

#[test]
fn modules_of_each_crate_have_no_import_cycles() {
    let metadata = metadata();
    let mut count = 0;
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        for target in package["targets"].as_array().expect("targets") {
            let kind = target["kind"][0].as_str().expect("a kind");
            if !["lib", "bin", "test"].contains(&kind) {
                continue;
            }
            let modules = Modules::read(Path::new(target["src_path"].as_str().expect("a path")));
            count += modules.0.len();
            let name = package["name"].as_str().expect("a name");
            faults.extend(modules.cycles().into_iter().map(|cycle| format!("{name}: {cycle}")));
        }
    }
    assert!(count > 250, "only {count} modules were found");
    assert!(faults.is_empty(), "import cycles:\n{}", faults.join("\n"));
}

/// Returns the import cycles of a crate that consists of the given modules, each a path and its source code.
fn cycles_of(modules: &[(&str, &str)]) -> Vec<String> {
    let mut all = Modules::default();
    for (path, source) in modules {
        let path = path.split("::").filter(|segment| !segment.is_empty());
        all.add(path.map(str::to_owned).collect(), source);
    }
    all.cycles().into_iter().collect()
}

#[test]
fn a_cycle_is_found_and_named() {
    let modules = [
        ("", "mod a;\nmod b;\nmod c;"),
        ("a", "use crate::b::B;\n"),
        ("b", "pub(crate) use crate::{\n    c::{self, C},\n};\n"),
        ("c", "fn c() { crate::a::run(); }\n"),
    ];
    assert_eq!(cycles_of(&modules), ["a → b → c → a"]);
    assert_eq!(cycles_of(&modules[..3]), [""; 0]);
}

#[test]
fn a_cycle_through_a_re_export_or_an_imported_module_is_found() {
    let by_root = [
        ("", "pub use a::A;\nmod a;\nmod b;"),
        ("a", "use crate::b::B;\npub struct A;\n"),
        ("b", "use crate::A;\n"),
    ];
    assert_eq!(cycles_of(&by_root), ["a → b → a"]);
    let by_folder = [
        ("error", "pub use self::codes::Code;\npub mod codes;"),
        ("error::codes", "use crate::a::A;\n"),
        ("a", "use crate::error;\nfn f() -> error::Code { todo!() }\n"),
    ];
    assert_eq!(cycles_of(&by_folder), ["a → error::codes → a"]);
    let by_parent = [("x", ""), ("x::a", "use super::b::B;"), ("x::b", "fn f(_: super::a::A) {}")];
    assert_eq!(cycles_of(&by_parent), ["x::a → x::b → x::a"]);
}

#[test]
fn a_module_and_its_submodules_may_import_one_another() {
    let modules =
        [("a", "use self::b::B;\nmod b;\npub struct A;"), ("a::b", "use super::A;\npub struct B;")];
    assert_eq!(cycles_of(&modules), [""; 0]);
}

#[test]
fn imports_in_comments_and_unit_tests_are_ignored() {
    let modules = [
        ("a", "use crate::b::B;"),
        ("b", "// See `crate::a::A`.\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n"),
    ];
    assert_eq!(cycles_of(&modules), [""; 0]);
}
