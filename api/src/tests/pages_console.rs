//! Tests of the pages for staff without a session. The tests crate covers the pages with a session.

use super::{TestApi, TestResponse};
use axum::body::Body;
use axum::http::Request;
use axum::http::header::ACCEPT_LANGUAGE;

async fn open(api: &TestApi, path: &str, language: &str) -> TestResponse {
    let request = Request::get(path).header(ACCEPT_LANGUAGE, language);
    api.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn visitors_without_a_session_are_sent_to_the_sign_in_page() {
    let api = TestApi::new().await;
    for (path, returning) in [
        ("/account", "%2Faccount"),
        ("/admin/users", "%2Fadmin%2Fusers"),
        ("/admin/users/new", "%2Fadmin%2Fusers%2Fnew"),
        (
            "/admin/audit?action=sign_in&limit=5",
            "%2Fadmin%2Faudit%3Faction%3Dsign%5Fin%26limit%3D5",
        ),
        ("/admin/settings", "%2Fadmin%2Fsettings"),
        ("/admin/health", "%2Fadmin%2Fhealth"),
    ] {
        let response = api.get(path).await;
        assert_eq!(response.status, 303, "{path}");
        assert_eq!(response.header("location"), format!("/login?return={returning}"));
    }
}

#[tokio::test]
async fn the_sign_in_page_returns_only_to_pages_of_this_server() {
    let api = TestApi::new().await;
    for (language, title) in [("en", "Staff sign-in"), ("de", "Anmeldung für Mitarbeitende")] {
        for (given, expected) in [
            ("", ""),
            ("?return=%2Fadmin%2Faudit%3Faction%3Dsign_in", "/admin/audit?action=sign_in"),
            ("?return=%2F%2Fevil.example", ""),
            ("?return=https%3A%2F%2Fevil.example", ""),
        ] {
            let page = open(&api, &format!("/login{given}"), language).await;
            assert_eq!(page.status, 200);
            assert!(page.text.contains(&format!("<h1>{title}</h1>")), "{}", page.text);
            let returning = format!("data-return=\"{expected}\"");
            assert!(page.text.contains(&returning), "{given}: {}", page.text);
        }
    }
    let policy = open(&api, "/login", "en").await.header("content-security-policy").to_owned();
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
}

#[tokio::test]
async fn only_developers_see_the_style_guide() {
    for (is_development, expected) in [(true, 200), (false, 404)] {
        let api = TestApi::with(|settings| settings.is_development = is_development).await;
        assert_eq!(api.get("/admin/styleguide").await.status, expected);
    }
}

/// The database of these tests does not exist.
#[tokio::test]
async fn an_error_is_shown_as_a_page_in_the_language_of_the_browser() {
    let api = TestApi::new().await;
    let token = {
        let (user, session) = (diagflow_store::UserId::new(), diagflow_store::SessionId::new());
        api.state().keys.access_tokens.issue(user, session)
    };
    for (language, heading) in [
        ("en", "The service is temporarily unavailable"),
        ("de", "Der Dienst ist vorübergehend nicht erreichbar"),
    ] {
        let request = Request::get("/admin/users")
            .header(ACCEPT_LANGUAGE, language)
            .header("authorization", format!("Bearer {token}"));
        let page = api.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(page.status, 503);
        assert!(page.text.contains(&format!("<h1>{heading}</h1>")), "{}", page.text);
        assert!(!page.header("retry-after").is_empty());
    }
}
