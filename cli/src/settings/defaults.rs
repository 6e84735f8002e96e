//! Parses `defaults.toml`, which contains the default and the documentation of every setting.

const DEFAULTS: &str = include_str!("defaults.toml");

pub(super) struct Setting {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) description: String,
}

/// Returns all settings in the order of `defaults.toml`, in which every value is a plain string.
pub(super) fn all() -> Vec<Setting> {
    let (mut section, mut comment, mut settings) = ("", Vec::new(), Vec::new());
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if let Some((name, default)) = line.split_once(" = ") {
            let description = std::mem::take(&mut comment).join(" ");
            let default = default.trim_matches('"');
            settings.push(Setting { section, name, default, description });
        } else if let Some(title) = line.strip_prefix("[\"") {
            section = title.trim_end_matches("\"]");
        } else {
            comment.clear();
        }
    }
    settings
}

/// Returns the paragraphs of the comment that begins `defaults.toml`.
#[cfg(test)]
pub(super) fn introduction() -> Vec<String> {
    let head = DEFAULTS.split("\n\n").next().unwrap_or_default();
    let paragraphs = head.split("\n#\n").map(|paragraph| {
        let lines = paragraph.lines().map(|line| line.trim_start_matches("# "));
        lines.collect::<Vec<_>>().join(" ")
    });
    paragraphs.collect()
}
