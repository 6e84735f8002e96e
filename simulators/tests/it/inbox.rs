//! Tests for the inbox's JSON API and pages over HTTP.

use diagflow_simulators::mail::{Action, MailCatcher, Settings, Step};
use serde_json::{Value, json};

use crate::support::*;

const HOSTILE: &str = "From: \"<img src=x onerror=alert(1)>\" <a@x.example>\n\
    Subject: <script>alert('ü')</script>\n\
    Message-ID: <1@x.example>\n\
    Content-Type: multipart/alternative; boundary=sep\n\n\
    --sep\nContent-Type: text/plain; charset=utf-8\n\n</pre><script>alert(2)</script>\n\
    --sep\nContent-Type: text/html; charset=utf-8\n\n\
    <html><head></head><body><script>alert(3)</script><a href=\"https://x.example\">x</a></body></html>\n\
    --sep--";

async fn catcher_with_mails() -> MailCatcher {
    let catcher = catcher(Settings::default()).await;
    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.send(&["jo@x.example"], HOSTILE).await;
    assert!(smtp.read_reply().await.starts_with("250"));
    smtp.send(&["al@x.example"], "Subject: second\n\nhi").await;
    assert!(smtp.read_reply().await.starts_with("250"));
    catcher
}

async fn get(catcher: &MailCatcher, path: &str) -> reqwest::Response {
    let url = format!("{}{path}", catcher.url());
    client().get(url).send().await.expect("a response")
}

async fn text(catcher: &MailCatcher, path: &str) -> String {
    get(catcher, path).await.text().await.expect("text")
}

async fn json(catcher: &MailCatcher, path: &str) -> Value {
    get(catcher, path).await.json().await.expect("JSON")
}

#[tokio::test]
async fn messages_are_listed_filtered_and_deleted_as_json() {
    let catcher = catcher_with_mails().await;
    let all = json(&catcher, "/api/mails").await;
    assert_eq!(all["mails"].as_array().map(Vec::len), Some(2));
    let mail = &all["mails"][0];
    assert_eq!(mail["id"], 1);
    assert_eq!(mail["to"], json!(["jo@x.example"]));
    assert_eq!(mail["subject"], "<script>alert('ü')</script>");
    assert_eq!(mail["message_id"], "1@x.example");
    assert_eq!(mail["headers"][0]["name"], "From");
    assert!(mail["html"].as_str().expect("html").contains("href"));

    let filtered = json(&catcher, "/api/mails?to=al%40x.example").await;
    assert_eq!(filtered["mails"].as_array().map(Vec::len), Some(1));
    assert_eq!(filtered["mails"][0]["id"], 2);
    assert_eq!(json(&catcher, "/api/mails/2").await["subject"], "second");
    assert_eq!(get(&catcher, "/api/mails/9").await.status(), 404);

    let raw = get(&catcher, "/api/mails/2/raw").await;
    assert_eq!(raw.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(raw.text().await.expect("text"), "Subject: second\r\n\r\nhi\r\n");

    let delete = client().delete(format!("{}/api/mails", catcher.url()));
    assert_eq!(delete.send().await.expect("a response").status(), 200);
    assert!(catcher.mails().is_empty());
}

#[tokio::test]
async fn pages_escape_message_content() {
    let catcher = catcher_with_mails().await;
    for path in ["/", "/mail/1", "/?to=%22%3E%3Cscript%3Ealert(4)", "/conversations"] {
        let page = text(&catcher, path).await;
        for hostile in ["<script>alert", "<img src=x"] {
            assert!(!page.contains(hostile), "{path}: {page}");
        }
    }
    let page = text(&catcher, "/mail/1").await;
    assert!(page.contains("&#60;script&#62;alert(&#39;ü&#39;)"), "{page}");
    assert_eq!(get(&catcher, "/mail/9").await.status(), 404);
}

#[tokio::test]
async fn html_bodies_are_displayed_in_a_sandbox() {
    let catcher = catcher_with_mails().await;
    let page = text(&catcher, "/mail/1").await;
    let frame = page.split("<iframe ").nth(1).expect("a frame");
    let frame = frame.split('>').next().expect("its attributes");
    assert!(frame.contains("src=\"/mail/1/html\""), "{frame}");
    assert!(frame.contains("sandbox=\"allow-popups"), "{frame}");
    assert!(!frame.contains("allow-scripts") && !frame.contains("allow-same-origin"));

    let body = get(&catcher, "/mail/1/html").await;
    let policy = body.headers()["content-security-policy"].to_str();
    let policy = policy.expect("text").to_owned();
    assert!(policy.starts_with("sandbox ") && policy.contains("default-src 'none'"));
    assert!(!policy.contains("allow-scripts") && !policy.contains("allow-same-origin"));
    let body = body.text().await.expect("text");
    assert!(body.contains("<base target=\"_blank\">"), "{body}");

    assert!(!text(&catcher, "/mail/2").await.contains("<iframe"));
    assert_eq!(get(&catcher, "/mail/2/html").await.status(), 404);
}

#[tokio::test]
async fn the_list_shows_the_newest_message_first_and_can_be_filtered() {
    let catcher = catcher_with_mails().await;
    let list = text(&catcher, "/").await;
    let (newer, older) = (list.find("/mail/2"), list.find("/mail/1"));
    assert!(newer.expect("shown") < older.expect("shown"));
    let list = text(&catcher, "/?to=AL@x.example").await;
    assert!(list.contains("/mail/2") && !list.contains("/mail/1"));
    let list = text(&catcher, "/?to=").await;
    assert!(list.contains("/mail/2") && list.contains("/mail/1"));
    for asset in ["/inbox.css", "/inbox.js"] {
        assert_eq!(get(&catcher, asset).await.status(), 200);
    }
}

#[tokio::test]
async fn a_script_can_be_set_over_http() {
    let catcher = catcher(Settings::default()).await;
    let put = async |body: Value| {
        let url = format!("{}/api/script", catcher.url());
        client().put(url).json(&body).send().await.expect("a response")
    };
    let rule = json!({"step": "body", "action": "drop_after_accept", "times": 1});
    let response = put(json!({ "rules": [rule] })).await;
    assert_eq!(response.status(), 200);
    let rules = catcher.script().rules().to_vec();
    assert_eq!((rules[0].step, &rules[0].action), (Step::Body, &Action::DropAfterAccept));
    assert_eq!(json(&catcher, "/api/script").await["rules"][0]["times"], 1);

    let bad = put(json!({"rules": [{"step": "mail", "action": "drop_after_accept"}]})).await;
    assert_eq!(bad.status(), 400);
    let bad: Value = bad.json().await.expect("JSON");
    assert!(bad["error"].as_str().expect("an error").contains("rule 1"), "{bad}");
    assert_eq!(catcher.script().rules(), rules);

    let mut smtp = SmtpClient::greeted(&catcher).await;
    smtp.send(&["jo@x.example"], "Subject: x\n\nhi").await;
    assert_eq!(smtp.read_to_end().await, "");
    let conversations = json(&catcher, "/api/conversations").await;
    assert_eq!(conversations["conversations"][0]["accepted"], true);
    assert_eq!(conversations["conversations"][0]["acknowledged"], 0);
    assert_eq!(json(&catcher, "/health").await["status"], "ok");
}
