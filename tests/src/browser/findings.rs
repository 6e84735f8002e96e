//! Finds out what is wrong with a page.

use crate::browser::page::Page;
use crate::browser::translations;
use serde_json::{Value, json};
use std::path::Path;

/// The success criteria of WCAG 2.2 AA, and axe's own rules.
const AXE_RULES: [&str; 6] =
    ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

const RUN_AXE: &str = "
    const done = arguments[arguments.length - 1];
    const target = (node) => node.target.join(' ') + ' ' + node.html.slice(0, 200);
    const line = (rule) => `axe ${rule.id}: ${rule.help}: ${rule.nodes.map(target).join('; ')}`;
    axe.run(document, { runOnly: { type: 'tag', values: arguments[0] } }).then(
        (results) => done(results.violations.map(line)),
        (error) => done([`axe: ${error}`]),
    );";

/// Returns the elements that extend beyond the given width, if the page can be scrolled horizontally.
const FIND_WIDE_ELEMENTS: &str = "
    if (document.documentElement.scrollWidth <= arguments[0]) return [];
    const isWide = (element) => element.getBoundingClientRect().right > arguments[0] + 1;
    const wide = [...document.body.querySelectorAll('*')].filter(isWide);
    const innermost = wide.filter((element) => ![...element.children].some(isWide));
    return innermost.map((element) => element.outerHTML.slice(0, 200));";

/// Returns the texts on the page, except those that are marked as another language.
const READ_TEXTS: &str = "
    const texts = [document.title];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const other = walker.currentNode.parentElement.closest('script, style, body [lang]');
        if (!other) texts.push(walker.currentNode.data);
    }
    for (const name of ['alt', 'aria-label', 'placeholder', 'title', 'value']) {
        const elements = document.querySelectorAll(`[${name}]:not(option, input[type=hidden])`);
        for (const element of elements) texts.push(element.getAttribute(name));
    }
    return texts.map((text) => text.trim()).filter((text) => text !== '');";

impl Page {
    /// Asserts that nothing is wrong with the page, and takes a screenshot.
    pub async fn check(&self, name: &str) {
        self.assert_none(name, self.findings().await).await;
    }

    /// Like [`Page::check`], for pages that a library provides in one language.
    pub async fn check_without_content(&self, name: &str) {
        let mut findings = self.technical_findings().await;
        findings.extend(self.scrolling().await);
        self.assert_none(name, findings).await;
    }

    async fn assert_none(&self, name: &str, findings: Vec<String>) {
        let picture = self.screenshot(name).await;
        let (profile, picture) = (self.profile, picture.display());
        assert!(findings.is_empty(), "{name} ({profile}, {picture}):\n{}", findings.join("\n"));
    }

    /// Returns everything that is wrong with the page.
    pub async fn findings(&self) -> Vec<String> {
        self.wait_until("document.readyState === 'complete'").await;
        let mut findings = self.technical_findings().await;
        findings.extend(self.scrolling().await);
        findings.extend(self.untranslated().await);
        findings.extend(self.axe().await);
        findings
    }

    async fn technical_findings(&self) -> Vec<String> {
        let mut findings = self.take_console().await;
        let requests = self.take_requests().await.into_iter();
        let own = format!("{}/", self.base);
        let foreign = requests.filter(|url| {
            let is_local =
                ["data:", "blob:", "about:"].iter().any(|scheme| url.starts_with(scheme));
            !is_local && !url.starts_with(&own)
        });
        findings.extend(foreign.map(|url| format!("request to another host: {url}")));
        findings
    }

    async fn scrolling(&self) -> Vec<String> {
        let screen = self.profile.screen;
        let mut findings = Vec::new();
        for width in [screen.extreme_width(), screen.width()] {
            self.set_metrics(screen.metrics_with_width(width)).await;
            let wide = self.run(FIND_WIDE_ELEMENTS, vec![json!(width)]).await;
            let finding = |element| format!("wider than {width} px: {element}");
            findings.extend(strings(&wide).map(finding));
        }
        findings
    }

    async fn untranslated(&self) -> Vec<String> {
        let language = self.profile.language;
        let texts = self.run(READ_TEXTS, Vec::new()).await;
        let untranslated = strings(&texts).filter(|text| translations::is_foreign(text, language));
        let mut findings: Vec<_> =
            untranslated.map(|text| format!("not {}: {text}", language.tag())).collect();
        let tag = self.evaluate("document.documentElement.lang").await;
        if tag != language.tag() {
            findings.push(format!("the language of the page is {tag}"));
        }
        findings
    }

    async fn axe(&self) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("axe/axe.min.js");
        let axe = std::fs::read_to_string(path).expect("axe-core");
        self.run(&axe, Vec::new()).await;
        strings(&self.run_async(RUN_AXE, vec![json!(AXE_RULES)]).await).map(str::to_owned).collect()
    }
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
