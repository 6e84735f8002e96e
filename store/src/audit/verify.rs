//! Proves the audit: reads every line and its seal again.

use crate::audit::entry::AuditLine;
use crate::audit::log::HEAD;
use crate::audit::seal::AuditKey;
use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::schema::{audit, audit_head};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::fmt;

/// Lines that are read at once.
const BATCH: i64 = 1000;
/// Seal before the first line.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A place in the audit that somebody wrote down elsewhere: as long as it is found again, nothing before
/// it was changed, even by somebody who knows the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditMark {
    /// The line.
    pub number: i64,
    /// Its seal.
    pub hash: String,
}

impl fmt::Display for AuditMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl std::str::FromStr for AuditMark {
    type Err = String;
    /// Reads `number:seal`, as it is printed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no mark; one looks like 42:9f86d081…, with 64 digits");
        let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        let hexadecimal =
            hash.len() == BEGINNING.len() && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if hexadecimal { Ok(Self { number, hash: hash.to_owned() }) } else { Err(wrong()) }
    }
}

/// Something that is wrong with the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditFault {
    /// Lines from the first to the second of these numbers are gone.
    Removed(i64, i64),
    /// This line's content does not fit its seal: it was changed, or not written by us.
    Changed(i64),
    /// This line does not follow the one before it: one of the two was put in or replaced.
    Unlinked(i64),
    /// A line of this number was put in, where none of ours is: they count from 1.
    Inserted(i64),
    /// The last line is not the one that was written last: lines at the end were removed or put in.
    EndMoved {
        /// What was written last.
        expected: AuditMark,
        /// What is there.
        found: AuditMark,
    },
    /// The line that was marked is not there any more.
    MarkGone(AuditMark),
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(first, last) if first == last => write!(f, "line {first} was removed"),
            Self::Removed(first, last) => write!(f, "lines {first} to {last} were removed"),
            Self::Changed(number) => {
                write!(f, "line {number} was changed, or sealed with another key")
            }
            Self::Unlinked(number) => {
                write!(
                    f,
                    "line {number} does not follow the line before it: one of them was replaced"
                )
            }
            Self::Inserted(number) => {
                write!(f, "line {number} was put in: our lines count from 1")
            }
            Self::EndMoved { expected, found } => write!(
                f,
                "the last line is {}, but {} was written last: the end was removed or put in",
                found.number, expected.number
            ),
            Self::MarkGone(mark) => {
                write!(f, "line {} is not the one that was marked", mark.number)
            }
        }
    }
}

/// What a reading of the whole audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCheck {
    /// How many lines there are.
    pub lines: i64,
    /// The last line: to be written down elsewhere, and given as a mark the next time.
    pub end: AuditMark,
    /// Everything that is wrong, in order.
    pub faults: Vec<AuditFault>,
}

impl Store {
    /// Reads every line of the audit and its seal again. `mark` is a line that was noted elsewhere.
    ///
    /// # Errors
    /// When the database does not answer, or a line cannot be read at all.
    pub async fn check_audit(
        &self,
        key: &AuditKey,
        mark: Option<&AuditMark>,
    ) -> StoreResult<AuditCheck> {
        // The head first: lines that are written meanwhile come after it.
        let head = self.audit_end().await?;
        let mut reading = Reading::new(key, mark);
        let mut from = Some(i64::MIN);
        while let Some(first) = from {
            let lines = self.audit_lines(first, head.number).await?;
            for line in &lines {
                reading.line(line);
            }
            from = lines.last().and_then(|last| last.number.checked_add(1));
        }
        Ok(reading.finish(head, self.audit_beyond().await?))
    }

    /// The line that was written last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn audit_end(&self) -> StoreResult<AuditMark> {
        let mut connection = self.connection().await?;
        let (number, hash) = audit_head::table
            .find(HEAD)
            .select((audit_head::number, audit_head::hash))
            .first(&mut connection)
            .await?;
        Ok(AuditMark { number, hash })
    }

    /// Some lines from the number `first` to the number `last`, in order.
    async fn audit_lines(&self, first: i64, last: i64) -> StoreResult<Vec<AuditLine>> {
        let mut connection = self.connection().await?;
        let lines = audit::table
            .filter(audit::number.between(first, last))
            .order(audit::number)
            .limit(BATCH)
            .select(AuditLine::as_select())
            .load(&mut connection)
            .await?;
        Ok(lines)
    }

    /// What was written last, and the last line that there is, where that is another one behind it. One
    /// statement sees both as of one moment: ours are always written together.
    async fn audit_beyond(&self) -> StoreResult<Option<AuditFault>> {
        let mut connection = self.connection().await?;
        let found: Option<(i64, String, i64, String)> = audit_head::table
            .inner_join(audit::table.on(audit::number.gt(audit_head::number)))
            .filter(audit_head::id.eq(HEAD))
            .order(audit::number.desc())
            .select((audit_head::number, audit_head::hash, audit::number, audit::hash))
            .first(&mut connection)
            .await
            .optional()?;
        Ok(found.map(|(expected, its_hash, found, hash)| AuditFault::EndMoved {
            expected: AuditMark { number: expected, hash: its_hash },
            found: AuditMark { number: found, hash },
        }))
    }
}

/// A reading under way.
struct Reading<'a> {
    key: &'a AuditKey,
    mark: Option<&'a AuditMark>,
    lines: i64,
    end: AuditMark,
    faults: Vec<AuditFault>,
}

impl<'a> Reading<'a> {
    fn new(key: &'a AuditKey, mark: Option<&'a AuditMark>) -> Self {
        let end = AuditMark { number: 0, hash: BEGINNING.to_owned() };
        Self { key, mark, lines: 0, end, faults: Vec::new() }
    }

    fn line(&mut self, line: &AuditLine) {
        if line.number < 1 {
            self.faults.push(AuditFault::Inserted(line.number));
            return;
        }
        let expected = self.end.number + 1;
        if line.number > expected {
            self.faults.push(AuditFault::Removed(expected, line.number - 1));
        } else if line.previous != self.end.hash {
            self.faults.push(AuditFault::Unlinked(line.number));
        }
        if self.key.seal(&line.previous, line) != line.hash {
            self.faults.push(AuditFault::Changed(line.number));
        }
        if let Some(mark) = self.mark.filter(|mark| mark.number == line.number)
            && mark.hash != line.hash
        {
            self.faults.push(AuditFault::MarkGone(mark.clone()));
        }
        self.lines += 1;
        self.end = AuditMark { number: line.number, hash: line.hash.clone() };
    }

    /// `head` is what was written last when the reading began; `beyond` is the fault of a line that is
    /// behind what was written last when it was over.
    fn finish(mut self, head: AuditMark, beyond: Option<AuditFault>) -> AuditCheck {
        if self.end != head {
            let found = self.end.clone();
            self.faults.push(AuditFault::EndMoved { expected: head, found });
        }
        self.faults.extend(beyond);
        if let Some(mark) = self.mark.filter(|mark| mark.number > self.end.number) {
            self.faults.push(AuditFault::MarkGone(mark.clone()));
        }
        AuditCheck { lines: self.lines, end: self.end, faults: self.faults }
    }
}
