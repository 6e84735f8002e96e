//! What lists of submissions can be asked for, and how they are told; shared by staff's list, everybody's
//! own list and the export.

mod asked;
mod cursor;
mod format;
mod page;

pub(crate) use asked::{AskedFilter, FilterQuery, permit};
pub(crate) use format::{ExportRow, Format};
pub(crate) use page::{AskedPage, ListAnswer, ListBody, PageQuery, page};
