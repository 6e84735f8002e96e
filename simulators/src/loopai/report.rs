//! Turns measurements into an execution's `result`.
//!
//! # Confidence values
//!
//! A measurement exactly at the threshold between two labels has confidence 0.5. The confidence approaches 1 as the
//! distance from the threshold increases.
//!
//! * Sharpness `s` is the variance of the Laplacian, with the common threshold of 100. The confidence is
//!   `s / (s + 100)` for "Image is sharp" and `100 / (s + 100)` for "Image is blurred". An image with a contrast `c`
//!   below 0.02 has no edges to measure, so its label is "Too plain to judge sharpness", with confidence
//!   `1 − c / 0.04`.
//! * Exposure depends on the mean luma `m`. Darkness is the maximum of `(0.35 − m) / 0.35` and the share of clipped
//!   shadows. Brightness is the maximum of `(m − 0.65) / 0.35` and the share of clipped highlights. If the larger of
//!   the two values is at least 0.5, it is the confidence of "Underexposed" or "Overexposed". Otherwise, the label is
//!   "Well exposed", with confidence 1 minus this value.
//! * The confidence of "Dominant colour" is the share of pixels that have approximately this colour.
//! * Facts, such as an unreadable image or a different checksum, have confidence 1.

use serde::Serialize;
use serde_json::{Value, json};

use super::measure::{Exposure, Measurement, round};

/// Minimum variance of the Laplacian in a sharp image.
const SHARP: f64 = 100.0;
/// An image with less contrast than this is a plain surface.
const PLAIN: f64 = 0.02;
/// An image with a mean luma between `DARK` and `BRIGHT` is neither dark nor bright.
const DARK: f64 = 0.35;
const BRIGHT: f64 = 0.65;

const NOTICE: &str = "Simulated by diagflow loopai-sim. Not a medical assessment.";

pub(super) struct ReadImage {
    pub(super) name: String,
    pub(super) sha256_matches: Option<bool>,
    /// The measurements, or why the image could not be measured.
    pub(super) measured: Result<Measurement, String>,
}

#[derive(Serialize)]
struct Finding<'a> {
    label: String,
    confidence: f64,
    description: String,
    file: &'a str,
}

pub(super) fn result(images: &[ReadImage]) -> Value {
    let findings: Vec<Finding<'_>> = images.iter().flat_map(findings).collect();
    json!({
        "simulated": true,
        "notice": NOTICE,
        "summary": summary(images),
        "findings": findings,
        "recommendations": recommendations(&findings),
        "measurements": images.iter().map(measurements).collect::<Vec<_>>(),
    })
}

fn findings(image: &ReadImage) -> Vec<Finding<'_>> {
    let finding = |(label, confidence, description): (String, f64, String)| Finding {
        label,
        confidence: round(confidence, 3),
        description,
        file: &image.name,
    };
    let mut found = Vec::new();
    match &image.measured {
        Ok(measured) => {
            found.push(finding(sharpness(measured)));
            found.push(finding(exposure(&measured.exposure)));
            found.extend(dominant_colour(measured).map(finding));
        }
        Err(problem) => {
            let label = UNREADABLE.to_owned();
            found.push(finding((label, 1.0, format!("No measurement: {problem}."))));
        }
    }
    if image.sha256_matches == Some(false) {
        let label = CHECKSUM_DIFFERS.to_owned();
        let description =
            "The SHA-256 of the received bytes differs from the SHA-256 in the request.".to_owned();
        found.push(finding((label, 1.0, description)));
    }
    found
}

const SHARP_LABEL: &str = "Image is sharp";
const TOO_PLAIN: &str = "Too plain to judge sharpness";
const BLURRED: &str = "Image is blurred";
const UNDEREXPOSED: &str = "Underexposed";
const OVEREXPOSED: &str = "Overexposed";
const UNREADABLE: &str = "Image could not be read";
const CHECKSUM_DIFFERS: &str = "Checksum differs";

fn sharpness(measured: &Measurement) -> (String, f64, String) {
    let (sharpness, contrast) = (measured.sharpness, measured.contrast);
    let description = format!(
        "Variance of the Laplacian: {sharpness:.0} ({SHARP:.0} or more is sharp). \
         Contrast: {:.0}%.",
        contrast * 100.0
    );
    let sharp = sharpness / (sharpness + SHARP);
    let (label, confidence) = match classify_sharpness(measured) {
        Sharpness::Plain => (TOO_PLAIN, 1.0 - contrast / (2.0 * PLAIN)),
        Sharpness::Sharp => (SHARP_LABEL, sharp),
        Sharpness::Blurred => (BLURRED, 1.0 - sharp),
    };
    (label.to_owned(), confidence, description)
}

#[derive(Clone, Copy, PartialEq)]
enum Sharpness {
    Plain,
    Sharp,
    Blurred,
}

fn classify_sharpness(measured: &Measurement) -> Sharpness {
    if measured.contrast < PLAIN {
        Sharpness::Plain
    } else if measured.sharpness >= SHARP {
        Sharpness::Sharp
    } else {
        Sharpness::Blurred
    }
}

fn exposure(measured: &Exposure) -> (String, f64, String) {
    let mean = measured.mean_luma;
    let darkness = f64::max((DARK - mean) / DARK, measured.clipped_shadows);
    let brightness = f64::max((mean - BRIGHT) / (1.0 - BRIGHT), measured.clipped_highlights);
    let description = format!(
        "Mean luma {:.0}%, clipped shadows {:.0}%, clipped highlights {:.0}%.",
        mean * 100.0,
        measured.clipped_shadows * 100.0,
        measured.clipped_highlights * 100.0,
    );
    let worst = f64::max(darkness, brightness);
    if worst < 0.5 {
        ("Well exposed".to_owned(), 1.0 - worst, description)
    } else if darkness >= brightness {
        (UNDEREXPOSED.to_owned(), darkness, description)
    } else {
        (OVEREXPOSED.to_owned(), brightness, description)
    }
}

fn dominant_colour(measured: &Measurement) -> Option<(String, f64, String)> {
    let colour = measured.dominant_colours.first()?;
    let label = format!("Dominant colour {}", colour.hex);
    let percent = colour.share * 100.0;
    let description = format!("About {percent:.0}% of the pixels have this colour.");
    Some((label, colour.share, description))
}

fn summary(images: &[ReadImage]) -> String {
    let measured = images.iter().filter_map(|it| it.measured.as_ref().ok());
    let classified: Vec<Sharpness> = measured.map(classify_sharpness).collect();
    let of = |kind| classified.iter().filter(|it| **it == kind).count();
    format!(
        "{} received, {} measured: {} sharp, {} blurred, {} too plain to judge. \
         Simulated result, not a medical assessment.",
        count(images.len()),
        classified.len(),
        of(Sharpness::Sharp),
        of(Sharpness::Blurred),
        of(Sharpness::Plain),
    )
}

fn count(images: usize) -> String {
    match images {
        1 => "1 image".to_owned(),
        other => format!("{other} images"),
    }
}

fn recommendations(findings: &[Finding<'_>]) -> Vec<String> {
    let advice = findings.iter().filter_map(|finding| {
        let file = finding.file;
        match finding.label.as_str() {
            BLURRED => {
                Some(format!("Take {file} again and hold the camera still: the photo is blurred."))
            }
            UNDEREXPOSED => {
                Some(format!("Take {file} again with more light: the photo is too dark."))
            }
            OVEREXPOSED => {
                Some(format!("Take {file} again with less light: the photo is too bright."))
            }
            UNREADABLE => Some(format!("Send {file} again as JPEG, PNG or WebP.")),
            CHECKSUM_DIFFERS => Some(format!("Send {file} again: it was damaged in transit.")),
            _ => None,
        }
    });
    let mut advice: Vec<String> = advice.collect();
    if advice.is_empty() {
        advice.push("The image quality is good.".to_owned());
    }
    advice
}

fn measurements(image: &ReadImage) -> Value {
    let mut measurements = match &image.measured {
        Ok(measured) => json!(measured),
        Err(problem) => json!({ "problem": problem }),
    };
    measurements["name"] = json!(image.name);
    measurements["sha256_matches"] = json!(image.sha256_matches);
    measurements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label_and_confidence((label, confidence, _): (String, f64, String)) -> (String, f64) {
        (label, round(confidence, 2))
    }

    fn exposure_label(
        mean_luma: f64,
        clipped_shadows: f64,
        clipped_highlights: f64,
    ) -> (String, f64) {
        label_and_confidence(exposure(&Exposure { mean_luma, clipped_shadows, clipped_highlights }))
    }

    fn sharpness_label(sharpness: f64, contrast: f64) -> (String, f64) {
        label_and_confidence(super::sharpness(&Measurement {
            width: 100,
            height: 100,
            megapixels: 0.01,
            sharpness,
            exposure: Exposure { mean_luma: 0.5, clipped_shadows: 0.0, clipped_highlights: 0.0 },
            contrast,
            dominant_colours: Vec::new(),
        }))
    }

    #[test]
    fn confidence_grows_with_the_distance_from_the_threshold() {
        assert_eq!(sharpness_label(100.0, 0.5), (SHARP_LABEL.into(), 0.5));
        assert_eq!(sharpness_label(900.0, 0.5), (SHARP_LABEL.into(), 0.9));
        assert_eq!(sharpness_label(25.0, 0.5), (BLURRED.into(), 0.8));
        assert_eq!(sharpness_label(0.0, 0.5), (BLURRED.into(), 1.0));
    }

    #[test]
    fn a_plain_surface_is_neither_sharp_nor_blurred() {
        assert_eq!(sharpness_label(0.0, 0.0), (TOO_PLAIN.into(), 1.0));
        assert_eq!(sharpness_label(0.0, 0.01), (TOO_PLAIN.into(), 0.75));
        assert_eq!(sharpness_label(0.0, 0.02), (BLURRED.into(), 1.0));
    }

    #[test]
    fn exposure_depends_on_mean_luma_and_clipping() {
        assert_eq!(exposure_label(0.5, 0.0, 0.0), ("Well exposed".into(), 1.0));
        assert_eq!(exposure_label(0.07, 0.1, 0.0), (UNDEREXPOSED.into(), 0.8));
        assert_eq!(exposure_label(0.93, 0.0, 0.1), (OVEREXPOSED.into(), 0.8));
        assert_eq!(exposure_label(0.5, 0.0, 0.6), (OVEREXPOSED.into(), 0.6));
        assert_eq!(exposure_label(0.5, 0.1, 0.3), ("Well exposed".into(), 0.7));
    }

    #[test]
    fn an_unreadable_image_is_reported_as_a_finding() {
        let images = [ReadImage {
            name: "a.png".to_owned(),
            sha256_matches: Some(false),
            measured: Err("broken".to_owned()),
        }];
        let result = result(&images);
        assert_eq!(result["findings"][0]["label"], UNREADABLE);
        assert_eq!(result["findings"][0]["file"], "a.png");
        assert_eq!(result["findings"][1]["label"], CHECKSUM_DIFFERS);
        assert_eq!(result["measurements"][0]["problem"], "broken");
        assert_eq!(result["simulated"], true);
        assert_eq!(result["recommendations"].as_array().map(Vec::len), Some(2));
    }
}
