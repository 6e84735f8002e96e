//! Tests with photos that are modified segment by segment or chunk by chunk. A variant must be accepted if the decoders
//! used by browsers accept it: libjpeg, the `png` crate and libwebp.

mod files;
mod jpeg;
mod metadata;
mod png;
mod webp;
