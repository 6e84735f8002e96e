//! Helpers that read API responses.

use reqwest::Response;
use serde_json::Value;

/// Returns the body of a successful response.
pub async fn body(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.expect("a response body");
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Returns the status and error code of an error response.
pub async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    (
        status,
        body["error"]["code"].as_str().unwrap_or_else(|| panic!("{status}: {body}")).to_owned(),
    )
}

pub fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("no header {name}"));
    value.to_str().expect("text").to_owned()
}

/// Returns one field from every row of a list.
pub fn members(list: &Value, name: &str) -> Vec<String> {
    let rows = list["data"].as_array().expect("rows").iter();
    rows.map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect()
}

/// Returns the status and outcome of a successful staff action.
pub async fn outcome(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    let outcome = body["outcome"].as_str();
    (status, outcome.unwrap_or_else(|| panic!("{status}: {body}")).to_owned())
}
