// Hints about a photo before it is sent: its kind, its size, and whether it is small, dark or blurred. They are advice.
// The server decides which photos it accepts.

/** Photos are examined at this size, so that the thresholds do not depend on the camera. */
const EXAMINED_SIDE = 384;
/** A shorter side of fewer pixels shows few details. */
const MIN_SIDE = 480;
/** In a dark photo, even its brightest parts are darker than this (0 to 255). */
const DARK_HIGHLIGHTS = 80;
/** In a blurred photo, even the sharpest of its parts have less contrast between neighbouring pixels. */
const BLURRED_CONTRAST = 60;
/** A photo is divided into this number of parts per side, because the background of a sharp photo is often blurred. */
const PARTS_PER_SIDE = 4;

/** @typedef {'type' | 'large' | 'small' | 'dark' | 'blurred'} Hint */

/**
 * @param {File} file
 * @param {number} maxBytes
 * @returns {Promise<Hint[]>}
 */
export async function photoHints(file, maxBytes) {
  const hints = [];
  if (!(await hasSupportedType(file))) {
    hints.push('type');
  }
  if (file.size > maxBytes) {
    hints.push('large');
  }
  if (hints.length > 0) {
    return hints;
  }
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) {
    return [];
  }
  if (Math.min(bitmap.width, bitmap.height) < MIN_SIDE) {
    hints.push('small');
  }
  const { brightness, width, height } = examine(bitmap);
  bitmap.close();
  if (isDark(brightness)) {
    hints.push('dark');
  } else if (isBlurred(brightness, width, height)) {
    hints.push('blurred');
  }
  return hints;
}

/** @param {File} file */
async function hasSupportedType(file) {
  const start = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  const text = String.fromCharCode(...start);
  return text.startsWith('\xff\xd8\xff') || text.startsWith('\x89PNG') || (text.startsWith('RIFF') && text.endsWith('WEBP'));
}

/** Returns the brightness of each pixel of the reduced photo. */
function examine(bitmap) {
  const scale = Math.min(1, EXAMINED_SIDE / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const brightness = new Float32Array(width * height);
  for (let pixel = 0; pixel < brightness.length; pixel += 1) {
    const [red, green, blue] = data.subarray(4 * pixel, 4 * pixel + 3);
    brightness[pixel] = 0.299 * red + 0.587 * green + 0.114 * blue;
  }
  return { brightness, width, height };
}

/** @param {Float32Array} brightness */
function isDark(brightness) {
  const sorted = Float32Array.from(brightness).sort();
  return sorted[Math.floor(0.95 * (sorted.length - 1))] < DARK_HIGHLIGHTS;
}

/**
 * Whether no part of the photo is sharp: the variance of the Laplacian is a common measure of sharpness.
 *
 * @param {Float32Array} brightness
 */
function isBlurred(brightness, width, height) {
  const partWidth = Math.floor((width - 2) / PARTS_PER_SIDE);
  const partHeight = Math.floor((height - 2) / PARTS_PER_SIDE);
  if (partWidth < 4 || partHeight < 4) {
    return false;
  }
  let sharpest = 0;
  for (let part = 0; part < PARTS_PER_SIDE ** 2; part += 1) {
    const left = 1 + (part % PARTS_PER_SIDE) * partWidth;
    const top = 1 + Math.floor(part / PARTS_PER_SIDE) * partHeight;
    let sum = 0;
    let sumOfSquares = 0;
    for (let y = top; y < top + partHeight; y += 1) {
      for (let x = left; x < left + partWidth; x += 1) {
        const at = y * width + x;
        const neighbours = brightness[at - 1] + brightness[at + 1] + brightness[at - width] + brightness[at + width];
        const laplacian = neighbours - 4 * brightness[at];
        sum += laplacian;
        sumOfSquares += laplacian ** 2;
      }
    }
    const count = partWidth * partHeight;
    sharpest = Math.max(sharpest, sumOfSquares / count - (sum / count) ** 2);
  }
  return sharpest < BLURRED_CONTRAST;
}
