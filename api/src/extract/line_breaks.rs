use std::borrow::Cow;

/// Converts all line breaks to LF, so that each counts as one character. HTML forms send a line break as CRLF, but
/// count it as one character for `maxlength`.
pub(crate) fn normalize_line_breaks(text: &str) -> Cow<'_, str> {
    match text.contains('\r') {
        true => text.replace("\r\n", "\n").replace('\r', "\n").into(),
        false => text.into(),
    }
}
