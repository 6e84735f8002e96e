//! Following submissions live: one tail of the events table per process, and a stream per listener.

mod cursor;
mod hub;
mod live;
mod stream;

pub(crate) use hub::Hub;
pub(crate) use live::{ChangeBody, Live, live};
pub(crate) use stream::{EventBody, Follow, follow, until_the_end};
