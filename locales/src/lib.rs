//! The texts of the pages and e-mails in every supported language, as Fluent catalogues.
//!
//! The catalogues are in `locales/en/` and `locales/de/`, with one file per area. The name of a message starts with the
//! name of its file. Both languages must have the same messages with the same variables, which a test checks.

mod argument;
mod catalogue;
mod language;
mod text;

pub use argument::Argument;
pub use language::Language;
pub use text::Text;
