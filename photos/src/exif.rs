//! Reads and writes the EXIF orientation (CIPA DC-008, a TIFF structure). No other EXIF data is retained.

const ORIENTATION_TAG: u16 = 0x0112;
const SHORT: u16 = 3;
/// Prefix of EXIF data in JPEG, and by mistake in some PNG and WebP files. The last byte can have any value.
pub(crate) const PREFIX: &[u8] = b"Exif\0\0";

/// An EXIF orientation from 2 to 8, which defines how to rotate and mirror the pixels. Upright photos need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Orientation(u8);

/// Returns the TIFF structure after the prefix, or `None` if there is no prefix.
pub(crate) fn without_prefix(exif: &[u8]) -> Option<&[u8]> {
    let (_, required) = PREFIX.split_last()?;
    exif.strip_prefix(required)?.get(1..)
}

/// Reads the orientation. Returns `None` if it is missing, upright or invalid, because browsers ignore invalid values.
pub(crate) fn orientation(exif: &[u8]) -> Option<Orientation> {
    let tiff = without_prefix(exif).unwrap_or(exif);
    let big_endian = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let bytes = *tiff.get(4..)?.first_chunk()?;
    let directory = if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    let directory = usize::try_from(directory).ok()?;
    for index in 0..usize::from(u16_at(directory)?) {
        let entry = directory.checked_add(2 + 12 * index)?;
        if u16_at(entry)? == ORIENTATION_TAG && u16_at(entry + 2)? == SHORT {
            let value = u8::try_from(u16_at(entry + 8)?).ok()?;
            return (2..=8).contains(&value).then_some(Orientation(value));
        }
    }
    None
}

impl Orientation {
    /// Encodes the orientation as a TIFF structure with one entry.
    pub(crate) fn to_tiff(self) -> Vec<u8> {
        let mut tiff = b"MM\0*".to_vec();
        tiff.extend_from_slice(&8_u32.to_be_bytes());
        tiff.extend_from_slice(&1_u16.to_be_bytes());
        tiff.extend_from_slice(&ORIENTATION_TAG.to_be_bytes());
        tiff.extend_from_slice(&SHORT.to_be_bytes());
        tiff.extend_from_slice(&1_u32.to_be_bytes());
        tiff.extend_from_slice(&[0, self.0, 0, 0]);
        // No further directory follows.
        tiff.extend_from_slice(&[0; 4]);
        tiff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orientation_can_be_written_and_read_back() {
        for value in 2..=8 {
            let tiff = Orientation(value).to_tiff();
            assert_eq!(orientation(&tiff), Some(Orientation(value)));
            for prefix in [PREFIX, b"Exif\0\xFF"] {
                let with_prefix = [prefix, &tiff].concat();
                assert_eq!(orientation(&with_prefix), Some(Orientation(value)));
            }
        }
    }

    #[test]
    fn missing_and_invalid_orientations_are_ignored() {
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        assert_eq!(orientation(little), Some(Orientation(6)));
        for value in [0, 1, 9] {
            assert_eq!(orientation(&Orientation(value).to_tiff()), None);
        }
        for end in 0..20 {
            assert_eq!(orientation(&little[..end]), None);
        }
        assert_eq!(orientation(b"II*\0\xFF\xFF\xFF\xFF"), None);
    }
}
