//! Tests that the checks of pages find what they look for.

use diagflow_tests::browser::{Browser, Language, Profile, Scheme, Screen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Serves the same page at every address, and returns the server's URL.
async fn serve(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            // The browser opens connections in advance, so the server must not wait for one of them.
            tokio::spawn(async move {
                let _ = connection.read(&mut [0; 8192]).await;
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\
                    Content-Security-Policy: script-src 'self'\r\n\r\n";
                let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn every_kind_of_fault_is_found() {
    let profile = Profile::new(Screen::Phone, Scheme::Dark, Language::German);
    let browser = Browser::start().await;
    let base = serve(
        "<!doctype html><html lang=en><title>A page</title><link rel=icon href=data:,>\
         <meta name=viewport content='width=device-width'><script>0</script><main><h1>Page not found</h1><p style='width:335px'>narrow</p>\
         <input><img alt='' src='http://localhost:65000/'></main>",
    )
    .await;
    let page = browser.open(&base, profile).await;

    page.visit("/").await;
    let findings = page.findings().await;

    for expected in [
        "Content Security Policy",
        "request to another host: http://localhost:65000/",
        "wider than 320 px: <p style=",
        "not de: Page not found",
        "the language of the page is \"en\"",
        "axe label:",
    ] {
        let found = findings.iter().any(|finding| finding.contains(expected));
        assert!(found, "{expected} is not among {findings:#?}");
    }
    assert!(!findings.iter().any(|finding| finding.contains("wider than 390")), "{findings:#?}");
}

#[tokio::test]
async fn a_page_is_shown_as_the_profile_demands() {
    let browser = Browser::start().await;
    let base = serve(
        "<!doctype html><html lang=de><title>Seite</title><link rel=icon href=data:,>\
         <meta name=viewport content='width=device-width'><main><h1>Seite</h1></main>",
    )
    .await;
    for profile in Profile::all() {
        let page = browser.open(&base, profile).await;
        page.visit("/").await;
        let (is_phone, is_dark) = (profile.screen == Screen::Phone, profile.scheme == Scheme::Dark);
        let width = if is_phone { 390 } else { 1280 };
        assert_eq!(page.evaluate("innerWidth").await, width);
        let matches =
            async |query: &str| page.evaluate(&format!("matchMedia('{query}').matches")).await;
        assert_eq!(matches("(prefers-color-scheme: dark)").await, is_dark);
        assert_eq!(matches("(pointer: coarse)").await, is_phone);
        assert_eq!(page.evaluate("navigator.language").await, profile.language.tag());
        if profile.language == Language::German {
            assert_eq!(page.findings().await, [""; 0]);
        }
    }
}
