use crate::browser::command::ChromeCommand;
use crate::browser::driver::Driver;
use crate::browser::profile::{Profile, Screen};
use crate::eventually::eventually;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The only page of a browser with its own cookies.
pub struct Page {
    pub profile: Profile,
    pub(super) base: String,
    client: Client,
}

impl Page {
    pub(super) async fn open(driver: &Driver, base: &str, profile: Profile) -> Page {
        let Value::Object(capabilities) = capabilities(driver, profile) else { unreachable!() };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&driver.url).await;
        let client = client.expect("a browser");
        let page = Page { profile, base: base.to_owned(), client };
        page.set_metrics(profile.screen.metrics()).await;
        let is_touch = json!({"enabled": profile.screen == Screen::Phone});
        page.devtools("Emulation.setTouchEmulationEnabled", is_touch).await;
        let scheme = json!({"name": "prefers-color-scheme", "value": profile.scheme.name()});
        // Animations would delay screenshots and change the colours that axe measures.
        let motion = json!({"name": "prefers-reduced-motion", "value": "reduce"});
        let features = json!({"features": [scheme, motion]});
        page.devtools("Emulation.setEmulatedMedia", features).await;
        // A zone in which local times differ from UTC.
        let zone = json!({"timezoneId": "Europe/Berlin"});
        page.devtools("Emulation.setTimezoneOverride", zone).await;
        page
    }

    /// Opens a path of the service, or any other URL.
    pub async fn visit(&self, path: &str) {
        let url =
            if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        self.client.goto(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    pub async fn reload(&self) {
        self.client.refresh().await.expect("a reloaded page");
    }

    /// Returns the path and the query of the current page.
    pub async fn address(&self) -> String {
        let url = self.client.current_url().await.expect("an address");
        url.as_str().strip_prefix(&self.base).unwrap_or(url.as_str()).to_owned()
    }

    pub async fn wait_for_address(&self, what: &str, accepts: impl Fn(&str) -> bool) -> String {
        eventually(format!("the address of {what}"), || async {
            Some(self.address().await).filter(|address| accepts(address))
        })
        .await
    }

    /// Waits for an element that matches the selector.
    pub async fn element(&self, selector: &str) -> Element {
        let find = || async { self.client.find(Locator::Css(selector)).await.ok() };
        self.eventually(selector, find).await
    }

    pub async fn has(&self, selector: &str) -> bool {
        self.client.find(Locator::Css(selector)).await.is_ok()
    }

    pub async fn count(&self, selector: &str) -> usize {
        self.client.find_all(Locator::Css(selector)).await.expect("a list of elements").len()
    }

    /// Clicks the element, once it exists and nothing covers it.
    pub async fn click(&self, selector: &str) {
        let click = || async { self.element(selector).await.click().await.ok() };
        self.eventually(selector, click).await;
    }

    /// Replaces the text of a field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.element(selector).await;
        field.clear().await.expect(selector);
        field.send_keys(text).await.expect(selector);
    }

    /// Chooses files of this machine in a file field.
    pub async fn choose_files(&self, selector: &str, files: &[PathBuf]) {
        let files: Vec<_> = files.iter().map(|file| file.to_str().expect("a path")).collect();
        self.element(selector).await.send_keys(&files.join("\n")).await.expect(selector);
    }

    /// Returns the visible text of the first element that matches the selector.
    pub async fn text(&self, selector: &str) -> String {
        let read = || async { self.element(selector).await.text().await.ok() };
        self.eventually(selector, read).await
    }

    /// Waits until the element's visible text contains `text`.
    pub async fn wait_for_text(&self, selector: &str, text: &str) {
        let contains = || async {
            let found = self.element(selector).await.text().await.ok()?;
            found.to_lowercase().contains(&text.to_lowercase()).then_some(())
        };
        self.eventually(&format!("{text:?} in {selector}"), contains).await;
    }

    /// Waits until the expression is true in the page.
    pub async fn wait_until(&self, expression: &str) {
        let holds = || async { (self.evaluate(expression).await == true).then_some(()) };
        self.eventually(expression, holds).await;
    }

    async fn eventually<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        poll: impl FnMut() -> F,
    ) -> T {
        let profile = self.profile;
        eventually(format!("{what} ({profile})"), poll).await
    }

    /// Evaluates an expression in the page.
    pub async fn evaluate(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression})"), Vec::new()).await
    }

    pub(super) async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client
            .execute(script, arguments)
            .await
            .unwrap_or_else(|error| panic!("{script:.200}: {error}"))
    }

    /// Runs a script that passes its result to the callback in its last argument.
    pub(super) async fn run_async(&self, script: &str, arguments: Vec<Value>) -> Value {
        let result = self.client.execute_async(script, arguments).await;
        result.unwrap_or_else(|error| panic!("{script:.200}: {error}"))
    }

    pub async fn press(&self, selector: &str, key: fantoccini::key::Key) {
        self.element(selector)
            .await
            .send_keys(&String::from(char::from(key)))
            .await
            .expect(selector);
    }

    /// Makes the browser lose its network, or restores it.
    pub async fn set_offline(&self, offline: bool) {
        let conditions = json!({
            "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
        });
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    pub(super) async fn set_metrics(&self, metrics: Value) {
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub(super) async fn devtools(&self, command: &'static str, parameters: Value) -> Value {
        let command = ChromeCommand::DevTools(command, parameters);
        self.client.issue_cmd(command).await.expect("a response of the browser")
    }

    pub(super) async fn read_log(&self, name: &'static str) -> Vec<Value> {
        let entries = self.client.issue_cmd(ChromeCommand::Log(name)).await;
        entries.expect("the entries of a log").as_array().cloned().unwrap_or_default()
    }

    /// Saves a picture of the whole page in `target/screenshots/`, and returns its path.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        let options = json!({"captureBeyondViewport": true});
        let picture = self.devtools("Page.captureScreenshot", options).await;
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap_or_default());
        let path = folder.join(format!("{name}-{}.png", self.profile));
        std::fs::write(&path, bytes.expect("a picture")).expect("a written file");
        path
    }
}

fn capabilities(driver: &Driver, profile: Profile) -> Value {
    let language = profile.language.tag();
    let arguments = [
        "--headless=new",
        // The sandbox does not work for root or in most containers.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--hide-scrollbars",
        &format!("--lang={language}"),
    ];
    json!({
        "browserName": "chrome",
        "acceptInsecureCerts": true,
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        "goog:chromeOptions": {
            "binary": driver.browser,
            "args": arguments,
            "prefs": {"intl.accept_languages": language},
            "perfLoggingPrefs": {"enableNetwork": true, "enablePage": false},
        },
    })
}
