use super::{ENGLISH, GERMAN};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A message's variables, by the message's name.
type Messages = BTreeMap<String, BTreeSet<String>>;

fn messages(source: &str) -> Messages {
    let mut messages = Messages::new();
    let mut current = String::new();
    for line in source.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, _)) = line.split_once(" =")
            && line.starts_with(|first: char| first.is_ascii_lowercase())
        {
            current = name.to_owned();
            messages.insert(current.clone(), BTreeSet::new());
        }
        if let Some(variables) = messages.get_mut(&current) {
            let names = line.split('$').skip(1).map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
                rest[..end.unwrap_or(rest.len())].to_owned()
            });
            variables.extend(names);
        }
    }
    messages
}

#[test]
fn all_languages_have_the_same_messages_with_the_same_variables() {
    for ((name, english), (_, german)) in ENGLISH.iter().zip(GERMAN) {
        assert_eq!(messages(english), messages(german), "{name}.ftl");
    }
}

#[test]
fn the_name_of_a_message_starts_with_the_name_of_its_file() {
    for (file, source) in ENGLISH {
        for message in messages(source).into_keys() {
            assert!(message.starts_with(&format!("{file}-")), "{message} in {file}.ftl");
        }
    }
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        // Tests have functions of the same name.
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            source_files(&path, files);
        } else if ["rs", "html", "txt"].iter().any(|it| path.extension() == Some(it.as_ref())) {
            files.push(path);
        }
    }
}

/// Returns the string literals that follow `call`, in all sources and templates of the crates with texts.
fn arguments_of(call: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["api/src", "api/templates", "activities/src", "activities/templates"] {
        source_files(&root.join(folder), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        // Line breaks between the parenthesis and the literal come from long lines.
        let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.replace(&format!("{call} \""), &format!("{call}\""));
        let start = format!("{call}\"");
        let rest = words.split(start.as_str()).skip(1);
        found.extend(rest.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    found
}

#[test]
fn every_message_in_use_exists_and_every_message_is_used() {
    let known: BTreeSet<String> =
        ENGLISH.iter().flat_map(|(_, source)| messages(source).into_keys()).collect();
    let used = arguments_of("text(");
    let prefixes = arguments_of("text_for(");
    let missing: Vec<_> = used.iter().filter(|key| !known.contains(*key)).collect();
    assert!(missing.is_empty(), "not in the catalogues: {missing:?}");
    let is_used = |key: &String| {
        used.contains(key) || prefixes.iter().any(|prefix| key.starts_with(&format!("{prefix}-")))
    };
    let unused: Vec<_> = known.iter().filter(|key| !is_used(key)).collect();
    assert!(unused.is_empty(), "not used: {unused:?}");
}
