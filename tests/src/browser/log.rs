//! What the browser logged: errors, warnings and requests.

use crate::browser::page::Page;
use serde_json::Value;

impl Page {
    /// Returns the errors and warnings on the console since the last call. Violations of the content security policy
    /// and failed requests are among them.
    pub async fn take_console(&self) -> Vec<String> {
        let entries = self.read_log("browser").await;
        let is_problem = |entry: &&Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        let text = |entry: &Value| {
            let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", field("source"), field("message"))
        };
        entries.iter().filter(is_problem).map(text).collect()
    }

    /// Returns the URLs of all requests since the last call.
    pub async fn take_requests(&self) -> Vec<String> {
        let entries = self.read_log("performance").await;
        let events = entries.iter().filter_map(|entry| {
            let text = entry["message"].as_str()?;
            let event: Value = serde_json::from_str(text).expect("JSON");
            let (name, parameters) = (&event["message"]["method"], &event["message"]["params"]);
            let url = match name.as_str()? {
                "Network.requestWillBeSent" => &parameters["request"]["url"],
                "Network.webSocketCreated" => &parameters["url"],
                _ => return None,
            };
            url.as_str().map(str::to_owned)
        });
        events.collect()
    }
}
