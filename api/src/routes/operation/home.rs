use axum::response::Html;

/// Get the start page
#[utoipa::path(
    get,
    path = "/",
    tag = "operation",
    responses((status = 200, description = "The start page.", content_type = "text/html", body = String)),
)]
pub(crate) async fn read_home_page() -> Html<&'static str> {
    Html(include_str!("home.html"))
}
