//! Tests that the content security policy allows everything loaded by the API reference pages.

use super::{TestApi, TestResponse};
use std::collections::HashMap;

/// An asset loaded by a page: the directive that controls it, and its URL or the keyword that the directive must
/// contain.
type Asset = (&'static str, String);

const INLINE: &str = "'unsafe-inline'";

/// Extensions of the files that a script could load from another host, with the directive that controls them.
const REMOTE_FILES: [(&str, &[&str]); 4] = [
    ("img-src", &["svg", "png", "jpg", "gif", "webp", "ico"]),
    ("font-src", &["woff", "woff2", "ttf", "otf"]),
    ("style-src", &["css"]),
    ("script-src", &["js", "mjs"]),
];

struct Policy(HashMap<String, Vec<String>>);

impl Policy {
    fn of(response: &TestResponse) -> Self {
        let directives = response.header("content-security-policy").split(';');
        let words = directives.map(|it| it.split_whitespace().map(str::to_owned));
        Self(words.filter_map(|mut words| Some((words.next()?, words.collect()))).collect())
    }

    fn allows(&self, (directive, url): &Asset) -> bool {
        // Content Security Policy Level 3, 6.8.3.
        let fallbacks: &[&str] = match *directive {
            "worker-src" => &["worker-src", "child-src", "script-src", "default-src"],
            directive => &[directive, "default-src"],
        };
        let sources = fallbacks.iter().find_map(|name| self.0.get(*name)).expect("a default");
        let source = match url.split_once(':') {
            _ if url == INLINE => INLINE,
            Some((scheme @ ("data" | "blob"), _)) => &format!("{scheme}:"),
            Some((_, rest)) => rest.split('/').nth(2).unwrap_or_default(),
            None => "'self'",
        };
        sources.iter().any(|it| it == source)
    }
}

fn tags<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("<{name}");
    let tags = page.split(start.as_str()).skip(1);
    tags.map(|rest| rest.split_once('>').expect("the end of the tag").0).collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

fn assets_of_page(page: &str) -> Vec<Asset> {
    let source = |tag: &str| attribute(tag, "src").unwrap_or_else(|| INLINE.to_owned());
    let scripts = tags(page, "script").into_iter().map(|tag| ("script-src", source(tag)));
    let images = tags(page, "img").into_iter().map(|tag| ("img-src", source(tag)));
    let styles = tags(page, "style").into_iter().map(|_| ("style-src", INLINE.to_owned()));
    let links = tags(page, "link").into_iter().map(|tag| {
        let is_style = attribute(tag, "rel").as_deref() == Some("stylesheet");
        let directive = if is_style { "style-src" } else { "img-src" };
        (directive, attribute(tag, "href").expect("an address"))
    });
    scripts.chain(images).chain(styles).chain(links).collect()
}

fn assets_of_script(script: &str) -> Vec<Asset> {
    let urls = ["https://", "http://"].into_iter().flat_map(|scheme| {
        let rest = script.split(scheme).skip(1);
        rest.map(move |rest| {
            let end = rest.find(['"', '\'', '`']).unwrap_or(rest.len());
            format!("{scheme}{}", &rest[..end])
        })
    });
    urls.filter_map(|url| {
        let (_, extension) = url.rsplit_once('.')?;
        let mut kinds = REMOTE_FILES.iter();
        let (directive, _) = kinds.find(|(_, extensions)| extensions.contains(&extension))?;
        Some((*directive, url))
    })
    .collect()
}

#[tokio::test]
async fn the_content_security_policy_allows_all_assets_of_the_reference_pages() {
    let api = TestApi::new().await;
    for path in ["/redoc", "/docs/"] {
        let page = api.get(path).await;
        let assets = assets_of_page(&page.text);
        assert!(assets.iter().any(|(directive, _)| *directive == "script-src"), "{path}");
        for asset in assets {
            assert!(Policy::of(&page).allows(&asset), "{path}: {asset:?}");
            let (directive, url) = asset;
            if directive != "img-src" && url != INLINE {
                let file = url.trim_start_matches("./");
                let file = if file.starts_with('/') { file } else { &format!("{path}{file}") };
                assert_eq!(api.get(file).await.status, 200, "{path}: {file}");
            }
        }
    }
}

#[tokio::test]
async fn the_content_security_policy_allows_all_assets_of_redocs_script() {
    let api = TestApi::new().await;
    let page = api.get("/redoc").await;
    let policy = Policy::of(&page);
    let (_, script) = assets_of_page(&page.text).remove(0);
    let script = api.get(&script).await.text;
    for asset in assets_of_script(&script) {
        assert!(policy.allows(&asset), "{asset:?}");
    }
    // The logo and inline styles.
    for asset in [("img-src", "data:,".to_owned()), ("style-src", INLINE.to_owned())] {
        assert!(policy.allows(&asset), "{asset:?}");
    }
    // Search runs in a worker from a `blob:` URL.
    assert!(script.contains("new Worker(URL.createObjectURL(new Blob("));
    let has_search = tags(&page.text, "redoc")
        .iter()
        .all(|tag| attribute(tag, "disable-search").as_deref() != Some("true"));
    assert!(!has_search || policy.allows(&("worker-src", "blob:x".to_owned())));
}

#[test]
fn the_policy_is_evaluated_as_browsers_do() {
    let policy = Policy(HashMap::from([
        ("default-src".to_owned(), vec!["'self'".to_owned()]),
        ("img-src".to_owned(), vec!["'self'".to_owned(), "data:".to_owned()]),
    ]));
    for (directive, url, expected) in [
        ("script-src", "/a.js", true),
        ("script-src", "./a.js", true),
        ("script-src", INLINE, false),
        ("script-src", "https://cdn.example/a.js", false),
        ("img-src", "data:,", true),
        ("font-src", "data:,", false),
        ("worker-src", "blob:x", false),
    ] {
        assert_eq!(policy.allows(&(directive, url.to_owned())), expected, "{directive} {url}");
    }
    let script =
        r#"a="https://cdn.example/logo.svg",b='http://x.example/f.woff2',c="https://json.example""#;
    let found =
        [("img-src", "https://cdn.example/logo.svg"), ("font-src", "http://x.example/f.woff2")];
    assert_eq!(assets_of_script(script), found.map(|(kind, url)| (kind, url.to_owned())));
}
