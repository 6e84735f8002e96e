//! Measures what a visit of a page costs.

use crate::browser::page::Page;
use serde::Deserialize;
use std::fmt;
use std::io::Write;
use std::path::Path;

const MEASURE: &str = "
    const done = arguments[arguments.length - 1];
    const sum = { largest_paint: 0, layout_shift: 0 };
    const observe = (type, add) =>
        new PerformanceObserver((list) => list.getEntries().forEach(add)).observe({ type, buffered: true });
    observe('largest-contentful-paint', (entry) => { sum.largest_paint = entry.startTime; });
    observe('layout-shift', (entry) => { if (!entry.hadRecentInput) sum.layout_shift += entry.value; });
    const loaded = ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type));
    sum.requests = loaded.length;
    sum.bytes = loaded.reduce((bytes, entry) => bytes + entry.transferSize, 0);
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(sum))));";

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Measurements {
    pub requests: u32,
    /// Bytes received, compressed and with headers.
    pub bytes: u64,
    /// Time of the largest contentful paint in milliseconds.
    pub largest_paint: f64,
    /// Cumulative layout shift.
    pub layout_shift: f64,
}

impl fmt::Display for Measurements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measurements { requests, bytes, largest_paint, layout_shift } = self;
        write!(f, "{bytes}\t{requests}\t{largest_paint:.0}\t{layout_shift:.3}")
    }
}

impl Page {
    /// Measures the current visit, and appends the result to `target/screenshots/measurements.tsv`: page, profile,
    /// bytes, requests, largest paint in ms, layout shift.
    pub async fn measure(&self, name: &str) -> Measurements {
        let measured = self.run_async(MEASURE, Vec::new()).await;
        let measured: Measurements = serde_json::from_value(measured).expect("measurements");
        let line = format!("{name}\t{}\t{measured}\n", self.profile);
        print!("{line}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
        std::fs::create_dir_all(&path).expect("a folder");
        let mut file = std::fs::File::options();
        let file = file.create(true).append(true).open(path.join("measurements.tsv"));
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a written line");
        measured
    }
}
