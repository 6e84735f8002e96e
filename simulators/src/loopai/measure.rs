//! Measures an image's size, sharpness, exposure, contrast and colours.
//!
//! Everything except the size is measured on a copy of at most [`COPY_EDGE`] pixels per side, which makes values for
//! photos and thumbnails comparable.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageError, ImageReader, Limits, RgbaImage};
use serde::Serialize;

/// Maximum edge length of the measured copy, in pixels.
const COPY_EDGE: u32 = 512;
/// Maximum edge length of an image that the simulator decodes, in pixels.
const MAX_EDGE: u32 = 20_000;
/// Memory limit for decoding, in bytes. Enough for a 100-megapixel RGB image.
const MAX_MEMORY: u64 = 320 * 1024 * 1024;
/// Pixels whose luma is at most this value are clipped shadows. Pixels whose luma is at least 255 minus this value are
/// clipped highlights.
const CLIP_MARGIN: u8 = 5;
/// Bits per channel of the colour histogram.
const COLOUR_BITS: u32 = 3;
const MAX_COLOURS: usize = 5;
/// Minimum share of pixels for a colour to be dominant.
const MIN_SHARE: f64 = 0.02;
/// Minimum alpha value for a pixel to be counted.
const MIN_ALPHA: u8 = 128;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Measurement {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) megapixels: f64,
    /// Variance of the luma's Laplacian (4 neighbours). It is 0 for a uniform surface and larger for sharper images.
    pub(super) sharpness: f64,
    pub(super) exposure: Exposure,
    /// Standard deviation of the luma, relative to its maximum (0 to 1).
    pub(super) contrast: f64,
    /// Dominant colours, most frequent first.
    pub(super) dominant_colours: Vec<Colour>,
}

/// The brightness distribution. All values are between 0 and 1.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Exposure {
    pub(super) mean_luma: f64,
    /// Share of pixels that are clipped shadows.
    pub(super) clipped_shadows: f64,
    /// Share of pixels that are clipped highlights.
    pub(super) clipped_highlights: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Colour {
    pub(super) hex: String,
    pub(super) share: f64,
}

/// Decodes and measures a JPEG, PNG or WebP file. The format is detected from the content.
pub(super) fn measure(bytes: &[u8]) -> Result<Measurement, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_EDGE);
    limits.max_image_height = Some(MAX_EDGE);
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    Ok(measure_image(&reader.decode()?))
}

fn measure_image(image: &DynamicImage) -> Measurement {
    let (width, height) = (image.width(), image.height());
    let copy = if width.max(height) > COPY_EDGE {
        image.thumbnail(COPY_EDGE, COPY_EDGE)
    } else {
        image.clone()
    };
    let luma = copy.to_luma8();
    let (mean, deviation) = mean_and_deviation(luma.as_raw().iter().map(|&it| f64::from(it)));
    Measurement {
        width,
        height,
        megapixels: round(f64::from(width) * f64::from(height) / 1e6, 4),
        sharpness: round(sharpness(&luma), 2),
        exposure: Exposure {
            mean_luma: round(mean / 255.0, 4),
            clipped_shadows: round(share(&luma, |it| it <= CLIP_MARGIN), 4),
            clipped_highlights: round(share(&luma, |it| it >= 255 - CLIP_MARGIN), 4),
        },
        // The maximum deviation, 127.5, occurs in an image that is half black and half white.
        contrast: round(deviation / 127.5, 4),
        dominant_colours: dominant_colours(&copy.to_rgba8()),
    }
}

fn sharpness(luma: &GrayImage) -> f64 {
    let (width, height) = luma.dimensions();
    if width < 3 || height < 3 {
        return 0.0;
    }
    let at = |x, y| f64::from(luma.get_pixel(x, y).0[0]);
    let inner = (1..height - 1).flat_map(|y| (1..width - 1).map(move |x| (x, y)));
    let laplacian = inner
        .map(|(x, y)| at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y));
    let (_, deviation) = mean_and_deviation(laplacian);
    deviation * deviation
}

/// Calculates the mean and the standard deviation in one pass. Returns zeros if there are no values.
fn mean_and_deviation(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        // Welford's algorithm avoids numerical cancellation when the mean is large.
        count += 1.0;
        let distance = value - mean;
        mean += distance / count;
        squares += distance * (value - mean);
    }
    (mean, (squares / f64::max(count, 1.0)).sqrt())
}

fn share(luma: &GrayImage, is: impl Fn(u8) -> bool) -> f64 {
    let all = luma.as_raw();
    let hits = all.iter().filter(|&&it| is(it)).count();
    hits as f64 / all.len().max(1) as f64
}

/// Finds the dominant colours using a coarse histogram. Each colour is the mean of the pixels in a bin.
fn dominant_colours(image: &RgbaImage) -> Vec<Colour> {
    #[derive(Clone, Copy, Default)]
    struct Bin {
        count: u64,
        sums: [u64; 3],
    }
    let mut bins = vec![Bin::default(); 1 << (3 * COLOUR_BITS)];
    let opaque = image.pixels().map(|it| it.0).filter(|it| it[3] >= MIN_ALPHA);
    for [red, green, blue, _] in opaque {
        let rgb = [red, green, blue];
        let index = rgb.iter().fold(0, |index, &channel| {
            (index << COLOUR_BITS) | usize::from(channel >> (8 - COLOUR_BITS))
        });
        let bin = &mut bins[index];
        bin.count += 1;
        for (sum, channel) in bin.sums.iter_mut().zip(rgb) {
            *sum += u64::from(channel);
        }
    }
    let total: u64 = bins.iter().map(|bin| bin.count).sum();
    bins.retain(|bin| bin.count > 0 && bin.count as f64 >= MIN_SHARE * total as f64);
    bins.sort_by_key(|bin| std::cmp::Reverse(bin.count));
    let top = bins.iter().take(MAX_COLOURS);
    top.map(|bin| {
        let [red, green, blue] = bin.sums.map(|sum| (sum + bin.count / 2) / bin.count);
        Colour {
            hex: format!("#{red:02x}{green:02x}{blue:02x}"),
            share: round(bin.count as f64 / total as f64, 4),
        }
    })
    .collect()
}

pub(super) fn round(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Luma, Rgb, RgbImage, Rgba};

    use super::*;

    fn checkerboard(edge: u32, square: u32) -> DynamicImage {
        GrayImage::from_fn(edge, edge, |x, y| {
            Luma([if (x / square + y / square).is_multiple_of(2) { 40 } else { 215 }])
        })
        .into()
    }

    fn plain(red: u8, green: u8, blue: u8) -> DynamicImage {
        RgbImage::from_pixel(64, 48, Rgb([red, green, blue])).into()
    }

    #[test]
    fn sharpness_decreases_as_blur_increases() {
        let sharp = checkerboard(256, 16);
        let steps = [&sharp, &sharp.blur(1.0), &sharp.blur(3.0), &sharp.blur(8.0)];
        let sharpness: Vec<f64> = steps.map(|it| measure_image(it).sharpness).to_vec();
        assert!(sharpness.is_sorted_by(|more, less| more > less), "{sharpness:?}");
        assert!(sharpness[0] > 1000.0 && sharpness[3] < 20.0, "{sharpness:?}");
    }

    #[test]
    fn enlarging_a_blurred_image_does_not_make_it_sharp() {
        let blurred = checkerboard(256, 16).blur(8.0);
        let large = blurred.resize_exact(2000, 2000, image::imageops::FilterType::Triangle);
        let measured = measure_image(&large);
        assert_eq!((measured.width, measured.height), (2000, 2000));
        assert_eq!(measured.megapixels, 4.0);
        assert!(measured.sharpness < 20.0, "{}", measured.sharpness);
    }

    #[test]
    fn brighter_images_have_a_higher_mean_luma() {
        let lumas = [0, 60, 128, 200, 255].map(|it| measure_image(&plain(it, it, it)).exposure);
        let means: Vec<f64> = lumas.iter().map(|it| it.mean_luma).collect();
        assert!(means.is_sorted_by(|less, more| less < more), "{means:?}");
        let shadows: Vec<f64> = lumas.iter().map(|it| it.clipped_shadows).collect();
        assert_eq!(shadows, [1.0, 0.0, 0.0, 0.0, 0.0]);
        let highlights: Vec<f64> = lumas.iter().map(|it| it.clipped_highlights).collect();
        assert_eq!(highlights, [0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_plain_surface_has_one_colour_and_no_contrast() {
        let measured = measure_image(&plain(0xaa, 0xbb, 0xcc));
        let hex = "#aabbcc".to_owned();
        assert_eq!(measured.dominant_colours, [Colour { hex, share: 1.0 }]);
        assert_eq!(measured.contrast, 0.0);
        assert_eq!(measured.sharpness, 0.0);
    }

    #[test]
    fn colours_are_ordered_by_share_and_transparent_pixels_are_ignored() {
        let image = RgbaImage::from_fn(100, 100, |x, _| match x {
            0..30 => Rgba([255, 0, 0, 255]),
            30..50 => Rgba([0, 0, 255, 255]),
            _ => Rgba([0, 255, 0, 0]),
        });
        let colours = measure_image(&image.into()).dominant_colours;
        let listed: Vec<_> = colours.iter().map(|it| (it.hex.as_str(), it.share)).collect();
        assert_eq!(listed, [("#ff0000", 0.6), ("#0000ff", 0.4)]);
    }

    #[test]
    fn a_half_black_and_half_white_image_has_the_maximum_contrast() {
        let image = GrayImage::from_fn(10, 10, |x, _| Luma([if x < 5 { 0 } else { 255 }]));
        assert_eq!(measure_image(&image.into()).contrast, 1.0);
    }

    #[test]
    fn formats_are_detected_from_the_content() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let mut bytes = Cursor::new(Vec::new());
            plain(10, 200, 30).write_to(&mut bytes, format).expect("encoded");
            let measured = measure(bytes.get_ref()).expect("decoded");
            assert_eq!((measured.width, measured.height), (64, 48), "{format:?}");
        }
    }

    #[test]
    fn non_images_and_oversized_images_are_rejected() {
        assert!(measure(b"<html>").is_err());
        let mut bytes = Cursor::new(Vec::new());
        let wide = GrayImage::new(MAX_EDGE + 1, 1);
        wide.write_to(&mut bytes, ImageFormat::Png).expect("encoded");
        assert!(measure(bytes.get_ref()).is_err());
    }

    #[test]
    fn a_single_pixel_image_is_measured() {
        let measured = measure_image(&GrayImage::new(1, 1).into());
        assert_eq!(measured.sharpness, 0.0);
    }
}
