//! Tests of `deploy/nginx.conf` in a real nginx.

use crate::support::behind_nginx;
use diagflow_tests::{ApiClient, StackOptions, photos};
use reqwest::redirect::Policy;
use reqwest::{Client, Version};

/// A client that accepts the proxy's certificate.
fn client() -> Client {
    let client = Client::builder().tls_danger_accept_invalid_certs(true).redirect(Policy::none());
    client.build().expect("an HTTP client")
}

#[tokio::test]
async fn the_proxy_hides_metrics_and_redirects_only_pages() {
    let (stack, nginx) = behind_nginx(StackOptions::default()).await;
    let client = client();
    let get = async |url: String| client.get(url).send().await.expect("a response");
    let (https, http) = (nginx.url(), format!("http://127.0.0.1:{}", nginx.http));

    for path in ["/metrics", "//metrics", "/%6detrics", "/./metrics", "/health/db"] {
        assert_eq!(get(format!("{https}{path}")).await.status(), 404, "{path}");
    }

    let page = get(format!("{http}/s/1?a=b")).await;
    assert_eq!(page.status(), 308);
    assert_eq!(page.headers()["location"], "https://127.0.0.1/s/1?a=b");
    assert_eq!(get(format!("{http}/api/user/status/1")).await.status(), 403);

    let page = get(format!("{https}/")).await;
    assert_eq!((page.status().as_u16(), page.version()), (200, Version::HTTP_2));
    for name in ["content-security-policy", "strict-transport-security", "x-content-type-options"] {
        assert_eq!(page.headers().get_all(name).iter().count(), 1, "{name}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_proxy_passes_on_large_bodies_and_the_address_of_the_client() {
    let options = StackOptions::default()
        .with("MAX_FILES", "2")
        .with("MAX_FILE_BYTES", "2000000")
        .with("RATE_LIMIT_READ_PER_MINUTE", "3");
    let (stack, nginx) = behind_nginx(options).await;
    let client = client();
    let submit = async |body: String| {
        let call = client.post(format!("{}/api/user/submit", nginx.url()));
        call.header("content-type", "application/json").body(body).send().await.expect("a response")
    };

    let body = ApiClient::submission_body("ana@example.org", "itches", &[photos::retina()]);
    // The API removes the spaces, which only make the body larger than nginx's default limit.
    let accepted = submit(format!("{}{body}", " ".repeat(2 << 20))).await;
    assert_eq!(accepted.status(), 202, "{:?}", accepted.text().await);

    let rejected = submit(" ".repeat(8 << 20)).await;
    assert_eq!(rejected.status(), 413);
    let body: serde_json::Value = rejected.json().await.expect("the response of the API");
    assert_eq!(body["error"]["code"], "body_too_large");

    let mut statuses = Vec::new();
    for forged in ["192.0.2.1", "192.0.2.2"] {
        let url = format!("{}/api/user/status/3f1f6b0e-6f0e-4f7b-9d53-0f1f6f3c2a11", nginx.url());
        let call = client.get(url).header("x-forwarded-for", forged);
        statuses.push(call.send().await.expect("a response").status().as_u16());
    }
    assert_eq!(statuses, [401, 429], "both requests come from the same client");
    stack.stop().await;
}
