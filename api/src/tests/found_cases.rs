//! Tests with inputs from bug reports of other projects (`found_cases.json`).

use super::TestApi;
use super::requests::{Form, picture, post, post_json, received, valid_except};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::intake::valid_submission::ValidSubmission;
use image::ImageFormat;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Cases {
    declared_types_of_a_real_jpeg: Vec<String>,
    declared_types_of_a_real_png: Vec<String>,
    email_refuse: Vec<String>,
    email_accept: Vec<String>,
    email_repair: Vec<Repair>,
    file_names: Vec<String>,
    comments: Vec<Comments>,
}

#[derive(Deserialize)]
struct Repair {
    #[serde(rename = "in")]
    sent: String,
    out: String,
}

#[derive(Deserialize)]
struct Comments {
    /// An object with the field `comments`.
    json: String,
}

fn cases() -> Cases {
    serde_json::from_str(include_str!("found_cases.json")).expect("cases")
}

async fn with_email(state: &AppState, email: &str) -> ApiResult<ValidSubmission> {
    received(state, post_json(&valid_except("email", json!(email)))).await
}

#[tokio::test]
async fn email_addresses_are_accepted_repaired_or_refused() {
    let state = TestApi::new().await.state();
    for email in cases().email_accept {
        assert!(with_email(&state, &email).await.is_ok(), "{email}");
    }
    for Repair { sent, out } in cases().email_repair {
        let submission = with_email(&state, &sent).await.expect("a repaired address");
        assert_eq!(submission.email.as_str(), out);
    }
    for email in cases().email_refuse {
        let received = with_email(&state, &email).await;
        assert!(matches!(received, Err(ApiError::InvalidSubmission(_))), "{email}");
    }
}

#[tokio::test]
async fn the_declared_type_and_the_name_of_a_file_do_not_matter() {
    let state = TestApi::new().await.state();
    let receive_file = async |name: &str, declared: &str, bytes: &[u8]| {
        let form = Form::default().text("email", "me@example.org").text("consent", "on");
        received(&state, form.file("images", name, declared, bytes).post()).await
    };
    let (jpeg, png) = (picture(ImageFormat::Jpeg), picture(ImageFormat::Png));
    for declared in cases().declared_types_of_a_real_jpeg {
        let submission = receive_file("photo", &declared, &jpeg).await.expect("a JPEG");
        assert_eq!(submission.images[0].record.media_type, "image/jpeg", "{declared}");
    }
    for declared in cases().declared_types_of_a_real_png {
        let submission = receive_file("photo", &declared, &png).await.expect("a PNG");
        assert_eq!(submission.images[0].record.media_type, "image/png", "{declared}");
    }
    for name in cases().file_names {
        let quoted = name.replace('"', "%22");
        assert!(receive_file(&quoted, "image/jpeg", &jpeg).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn comments_that_a_form_allows_are_accepted() {
    let state = TestApi::new().await.state();
    // A form counts each line break as one character, but sends two.
    let full = format!("{}{}", "a".repeat(4688), "\r\n".repeat(312));
    let submission = received(&state, post_json(&valid_except("comments", json!(full)))).await;
    assert_eq!(submission.expect("valid").comments.chars().count(), 5000);
    for Comments { json } in cases().comments {
        let comments = json.trim_start_matches("{\"comments\":").trim_end_matches('}');
        let body = valid_except("comments", json!("COMMENTS")).to_string();
        let body = body.replace("\"COMMENTS\"", comments);
        assert!(received(&state, post("application/json", body)).await.is_ok(), "{json}");
    }
}
