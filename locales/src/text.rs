use crate::argument::Argument;
use crate::catalogue::catalogue;
use crate::language::Language;
use fluent_bundle::{FluentArgs, FluentValue};
use std::borrow::Cow;
use std::fmt;

/// A message in one language, with the values of its variables.
pub struct Text {
    language: Language,
    key: Cow<'static, str>,
    arguments: FluentArgs<'static>,
}

impl Text {
    fn new(language: Language, key: &'static str) -> Self {
        assert!(catalogue(language).contains(key), "the catalogues have no message {key}");
        Self { language, key: Cow::Borrowed(key), arguments: FluentArgs::new() }
    }

    fn find(language: Language, key: String) -> Option<Self> {
        let is_known = catalogue(language).contains(&key);
        is_known.then(|| Self { language, key: Cow::Owned(key), arguments: FluentArgs::new() })
    }

    /// Sets a variable. Numbers are formatted and select plural forms as the language requires.
    #[must_use]
    pub fn arg(mut self, name: &'static str, value: impl Argument) -> Self {
        self.arguments.set(name, value.value());
        self
    }
}

impl Language {
    /// Returns the message `key`.
    ///
    /// # Panics
    ///
    /// If the catalogues do not contain `key`. A test checks that they contain every key in use.
    pub fn text(self, key: &'static str) -> Text {
        Text::new(self, key)
    }

    /// Returns the message whose name is `prefix`, a hyphen and `name`, in which underscores become hyphens. Used for
    /// messages that are named after a code, such as a status. Returns `None` if the catalogues do not contain it.
    pub fn text_for(self, prefix: &str, name: &str) -> Option<Text> {
        Text::find(self, format!("{prefix}-{}", name.replace('_', "-")))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&catalogue(self.language).format(&self.key, &self.arguments))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.key)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.to_string()
    }
}

impl Argument for Text {
    fn value(&self) -> FluentValue<'static> {
        self.to_string().into()
    }
}
