/// Returns `path` if it is a path on this server. Browsers treat a second slash or a backslash as the start of another
/// host's name.
pub(crate) fn local_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('/')?;
    let is_local = !rest.starts_with(['/', '\\']) && !path.contains(char::is_control);
    is_local.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_on_this_server_are_local() {
        for path in ["/", "/admin?status=failed", "/s/1#result"] {
            assert_eq!(local_path(path), Some(path));
        }
        for other in [
            "",
            "admin",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
        ] {
            assert_eq!(local_path(other), None, "{other:?}");
        }
    }
}
