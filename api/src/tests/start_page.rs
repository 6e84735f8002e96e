//! Tests of the form on the start page, as a browser without scripts sends it.

use super::requests::{Form, picture};
use super::{TestApi, TestResponse};
use axum::body::Body;
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::{HeaderValue, Request, Uri};
use image::ImageFormat;
use std::num::NonZeroU32;

fn to_page(request: Request<Body>, language: &'static str) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    parts.uri = Uri::from_static("/");
    parts.headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(language));
    Request::from_parts(parts, body)
}

async fn send(api: &TestApi, form: Form, language: &'static str) -> TestResponse {
    api.send(to_page(form.post(), language)).await
}

fn valid_form() -> Form {
    let png = picture(ImageFormat::Png);
    Form::default()
        .text("idempotency_key", "the-key")
        .text("consent_version", "2026-11")
        .text("email", "me@example.org")
        .text("comments", "Since <Monday>\r\nit itches")
        .file("images", "a.png", "image/png", &png)
        .text("consent", "true")
}

fn expect_texts_kept(page: &TestResponse) {
    for text in [
        "value=\"me@example.org\"",
        "Since &#60;Monday&#62;\r\nit itches</textarea>",
        "name=\"idempotency_key\" value=\"the-key\"",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
}

/// Returns the texts of the error summary's items, with the ids of their fields.
fn summary(page: &TestResponse) -> Vec<(String, String)> {
    let (_, rest) = page.text.split_once("id=\"error-summary\"").expect("an error summary");
    let (list, _) = rest.split_once("</ul>").expect("a list");
    let items = list.split("<li>").skip(1).map(|item| {
        let (item, _) = item.split_once("</li>").expect("the end of an item");
        match item.strip_prefix("<a href=\"#").and_then(|link| link.split_once("\">")) {
            Some((target, text)) => (target.to_owned(), text.replace("</a>", "")),
            None => (String::new(), item.to_owned()),
        }
    });
    items.collect()
}

fn title(page: &TestResponse) -> &str {
    let (_, rest) = page.text.split_once("<title>").expect("a title");
    rest.split_once("</title>").expect("the end of the title").0
}

#[tokio::test]
async fn the_start_page_is_shown_in_the_language_that_the_browser_prefers() {
    let api = TestApi::new().await;
    for (language, expected) in [
        ("de-AT,de;q=0.9,en;q=0.8", "Fotos zur Diagnose senden – Diagflow"),
        ("en-GB", "Send photos for a diagnosis – Diagflow"),
        ("fr", "Send photos for a diagnosis – Diagflow"),
    ] {
        let request = Request::get("/").header(ACCEPT_LANGUAGE, language);
        let page = api.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!((page.status.as_u16(), title(&page)), (200, expected));
        assert!(page.text.contains("name=\"consent_version\" value=\"2026-11\""));
        assert!(!page.text.contains("id=\"error-summary\""));
    }
}

#[tokio::test]
async fn each_page_has_its_own_idempotency_key() {
    let api = TestApi::new().await;
    let key = async || {
        let page = api.get("/").await.text;
        let (_, rest) = page.split_once("name=\"idempotency_key\" value=\"").expect("a key");
        rest.split_once('"').expect("the end of the key").0.to_owned()
    };
    let (first, second) = (key().await, key().await);
    assert_ne!(first, second);
    assert!(first.len() >= 32, "{first}");
}

#[tokio::test]
async fn an_invalid_form_is_shown_again_with_all_errors_in_the_language_of_the_page() {
    let api = TestApi::new().await;
    let form = || {
        Form::default().text("email", "me@").text("comments", "<b>").file(
            "images",
            "a.heic",
            "image/heic",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        )
    };
    let english = send(&api, form(), "en").await;
    assert_eq!(english.status, 400);
    assert_eq!(title(&english), "Error: Send photos for a diagnosis – Diagflow");
    let expected = [
        ("email", "Enter an e-mail address in the correct format, such as name@example.org."),
        (
            "images",
            "Photo 1 is a HEIC photo, which we cannot read. On an iPhone, choose Settings &#62; Camera &#62; Formats \
             &#62; Most Compatible and take the photo again, or send a screenshot of it.",
        ),
        ("consent", "Read the consent text, and tick the box if you agree to it."),
    ];
    let expected = expected.map(|(target, text)| (target.to_owned(), text.to_owned()));
    assert_eq!(summary(&english), expected);
    for (target, text) in expected {
        let beside = format!(
            "id=\"{target}-error\"><p><span class=\"visually-hidden\">Error:</span> {text}</p>"
        );
        assert!(english.text.contains(&beside), "{beside}");
    }
    assert!(
        english.text.contains("value=\"me@\"") && english.text.contains("&#60;b&#62;</textarea>")
    );

    let german = send(&api, form(), "de").await;
    assert_eq!(title(&german), "Fehler: Fotos zur Diagnose senden – Diagflow");
    let targets: Vec<_> = summary(&german).into_iter().map(|(target, _)| target).collect();
    assert_eq!(targets, ["email", "images", "consent"]);
    assert!(german.text.contains("Maximale Kompatibilität"));
}

#[tokio::test]
async fn consent_to_an_outdated_text_is_requested_again() {
    let api = TestApi::with(|settings| settings.consent_version = "2027-01".to_owned()).await;
    // With a key, the form could be the repetition of an earlier one.
    let form = Form::default().text("consent_version", "2026-11").text("email", "me@example.org");
    let form = form.file("images", "a.png", "image/png", &picture(ImageFormat::Png));
    let page = send(&api, form.text("consent", "true"), "en").await;
    assert_eq!(page.status, 400);
    let text =
        "The consent text has changed. Read the new text, and tick the box if you agree to it.";
    assert_eq!(summary(&page), [("consent".to_owned(), text.to_owned())]);
    assert!(page.text.contains("name=\"consent_version\" value=\"2027-01\""));
    assert!(!page.text.contains("checked"), "the consent to the earlier text does not apply");
    assert!(page.text.contains("value=\"me@example.org\""));
}

#[tokio::test]
async fn the_form_is_kept_while_the_database_is_down() {
    let page = send(&TestApi::new().await, valid_form(), "de").await;
    assert_eq!((page.status.as_u16(), page.header("retry-after")), (503, "5"));
    let text = "Der Dienst ist vorübergehend nicht erreichbar. Bitte warten Sie eine Minute und senden Sie Ihre Fotos \
        dann noch einmal.";
    assert_eq!(summary(&page), [(String::new(), text.to_owned())]);
    assert!(page.text.contains("value=\"true\" required checked"));
    expect_texts_kept(&page);
}

#[tokio::test]
async fn the_form_is_kept_if_it_is_sent_too_often() {
    let few = NonZeroU32::new(1).expect("not zero");
    let api = TestApi::with(|settings| settings.rate_limits.submit_attempt = few).await;
    let router = crate::router(api.app.clone());
    let first = super::send_to(router.clone(), to_page(valid_form().post(), "en")).await;
    assert_eq!(first.status, 503);
    let second = super::send_to(router, to_page(valid_form().post(), "en")).await;
    assert_eq!(second.status, 429);
    assert!(second.headers.contains_key("retry-after"));
    assert!(summary(&second)[0].1.starts_with("You have sent the form too often"));
    expect_texts_kept(&second);
}

#[tokio::test]
async fn the_form_is_kept_if_its_photos_are_too_large() {
    let api = TestApi::with(|settings| settings.max_file_bytes = 3000).await;
    let large = vec![0; 2 << 20];
    let form = Form::default()
        .text("idempotency_key", "the-key")
        .text("email", "me@example.org")
        .text("comments", "Since <Monday>\r\nit itches")
        .file("images", "a.png", "image/png", &large);
    let (mut parts, body) = to_page(form.post(), "en").into_parts();
    parts.headers.insert("content-length", HeaderValue::from(large.len()));
    let page = api.send(Request::from_parts(parts, body)).await;
    assert_eq!(page.status, 413);
    assert!(summary(&page)[0].1.starts_with("Your photos are too large together."));
    expect_texts_kept(&page);
}

#[tokio::test]
async fn an_invalid_key_is_replaced() {
    let form = Form::default().text("idempotency_key", "not valid").text("email", "me@example.org");
    let form = form.file("images", "a.png", "image/png", &picture(ImageFormat::Png));
    let page = send(&TestApi::new().await, form.text("consent", "true"), "en").await;
    assert_eq!(page.status, 400);
    assert_eq!(summary(&page)[0].1, "We could not read the form. Send it again.");
    assert!(!page.text.contains("not valid"));
}
