//! WebDriver commands that only chromedriver supports.

use fantoccini::wd::WebDriverCompatibleCommand;
use serde_json::{Value, json};
use url::{ParseError, Url};

#[derive(Debug)]
pub(super) enum ChromeCommand {
    /// A command of the Chrome DevTools Protocol.
    DevTools(&'static str, Value),
    /// Returns the entries that were added to a log since the last call.
    Log(&'static str),
}

impl WebDriverCompatibleCommand for ChromeCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        let path = match self {
            Self::DevTools(..) => "goog/cdp/execute",
            Self::Log(_) => "se/log",
        };
        base.join(&format!("session/{session}/{path}"))
    }

    fn method_and_body(&self, _: &Url) -> (reqwest::Method, Option<String>) {
        let body = match self {
            Self::DevTools(name, parameters) => json!({"cmd": name, "params": parameters}),
            Self::Log(name) => json!({"type": name}),
        };
        (reqwest::Method::POST, Some(body.to_string()))
    }
}
