//! Finds the end of compressed data (RFC 1950).

use flate2::{Decompress, FlushDecompress, Status};

const BUFFER_LENGTH: usize = 64 * 1024;

/// Returns the length of the compressed stream at the start of `parts`, or `None` if the stream is invalid or
/// incomplete. Stops after about `max_output` decompressed bytes, and then returns `None`.
pub(crate) fn stream_length<'a>(
    parts: impl Iterator<Item = &'a [u8]>,
    max_output: u64,
) -> Option<usize> {
    let mut stream = Decompress::new(true);
    let mut output = vec![0; BUFFER_LENGTH];
    for part in parts {
        let start = stream.total_in();
        loop {
            let read = usize::try_from(stream.total_in() - start).ok()?;
            let written = stream.total_out();
            let status = stream.decompress(&part[read..], &mut output, FlushDecompress::None);
            match status.ok()? {
                Status::StreamEnd => return usize::try_from(stream.total_in()).ok(),
                // The decoder may hold more output than fits in the buffer.
                Status::Ok if stream.total_out() - written == BUFFER_LENGTH as u64 => {}
                Status::Ok | Status::BufError => break,
            }
            if stream.total_out() > max_output {
                return None;
            }
        }
        if stream.total_in() - start < part.len() as u64 {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use std::io::Write;

    fn compressed(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn the_end_of_a_stream_is_found() {
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<_> = std::iter::repeat_with(|| random.u8(..)).take(300_000).collect();
        for data in [&b""[..], b"a", &noise, &vec![0; 5_000_000]] {
            let stream = compressed(data);
            let file = [&stream[..], b"more"].concat();
            for size in [1, 7, 40_000, usize::MAX] {
                let length = stream_length(file.chunks(size), u64::MAX);
                assert_eq!(length, Some(stream.len()), "parts of {size} bytes");
            }
            let cut = &stream[..stream.len() - 1];
            assert_eq!(stream_length([cut].into_iter(), u64::MAX), None);
        }
    }

    #[test]
    fn no_end_is_found_in_invalid_or_long_streams() {
        assert_eq!(stream_length([&b"not zlib"[..]].into_iter(), u64::MAX), None);
        let long = compressed(&vec![0; 5_000_000]);
        assert_eq!(stream_length([&long[..]].into_iter(), 1_000_000), None);
    }
}
