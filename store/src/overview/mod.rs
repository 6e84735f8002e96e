//! Queries for the staff's overview, one file per question. Each query reads only index entries within a time window, or
//! rows whose number does not depend on the size of the tables, such as open runs. The doc comment of each query states
//! its plan. See `docs/adr/0024-overview.md`.

pub(crate) mod dependencies;
pub(crate) mod emails;
pub(crate) mod oldest_waiting;
pub(crate) mod outcomes;
mod states;
pub(crate) mod submissions_per_hour;
pub(crate) mod time_to_result;

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
