//! Export formats: CSV for spreadsheets and JSON Lines for programs.

use crate::extract::time_format::rfc3339;
use diagflow_store::{ClinicalData, EmailState, SubmissionSummary};
use serde::Serialize;
use serde_json::value::RawValue;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ExportFormat {
    #[default]
    Csv,
    JsonLines,
}

impl FromStr for ExportFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::JsonLines),
            _ => Err("format must be csv or jsonl".to_owned()),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ExportRow {
    id: String,
    email: Option<String>,
    status: &'static str,
    runs: i32,
    error_code: Option<String>,
    created_at: String,
    updated_at: String,
    finished_at: Option<String>,
    submitted_by: Option<String>,
    deleted_at: Option<String>,
    assignee: Option<String>,
    note: Option<String>,
    email_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comments: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
}

/// The CSV columns, in the order of [`ExportRow::cells`].
const COLUMNS: [&str; 13] = [
    "id",
    "email",
    "status",
    "runs",
    "error_code",
    "created_at",
    "updated_at",
    "finished_at",
    "submitted_by",
    "deleted_at",
    "assignee",
    "note",
    "email_state",
];
/// CSV columns that contain medical information. They are appended to [`COLUMNS`] if the export includes clinical data.
const CLINICAL_COLUMNS: [&str; 2] = ["comments", "result"];

impl ExportRow {
    pub(crate) fn of(
        row: SubmissionSummary,
        email_state: Option<EmailState>,
        clinical: Option<ClinicalData>,
    ) -> Self {
        let (comments, result) =
            clinical.map(|ClinicalData { comments, result }| (comments, result)).unzip();
        Self {
            id: row.id.to_string(),
            email: row.erased_at.is_none().then(|| row.email.to_string()),
            status: row.status.name(),
            runs: row.run_number,
            error_code: row.error_code,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            finished_at: row.finished_at.map(rfc3339),
            submitted_by: row.submitted_by.map(|id| id.to_string()),
            deleted_at: row.deleted_at.map(rfc3339),
            assignee: row.assignee.map(|id| id.to_string()),
            note: row.note,
            email_state: email_state.map(|state| state.to_string()),
            comments,
            result: result.flatten().and_then(|result| RawValue::from_string(result).ok()),
        }
    }

    /// Takes the row by value because copying a large result would waste memory.
    fn cells(self, clinical: bool) -> impl Iterator<Item = String> {
        let mut cells = vec![
            self.id,
            self.email.unwrap_or_default(),
            self.status.to_owned(),
            self.runs.to_string(),
            self.error_code.unwrap_or_default(),
            self.created_at,
            self.updated_at,
            self.finished_at.unwrap_or_default(),
            self.submitted_by.unwrap_or_default(),
            self.deleted_at.unwrap_or_default(),
            self.assignee.unwrap_or_default(),
            self.note.unwrap_or_default(),
            self.email_state.unwrap_or_default(),
        ];
        if clinical {
            cells.push(self.comments.unwrap_or_default());
            cells.push(self.result.map(|raw| Box::<str>::from(raw).into()).unwrap_or_default());
        }
        cells.into_iter().map(escape_formula)
    }
}

/// Prevents spreadsheets from interpreting a cell as a formula (OWASP "CSV injection", ASVS 1.2.10).
fn escape_formula(cell: String) -> String {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0']) {
        true => format!("'{cell}"),
        false => cell,
    }
}

impl ExportFormat {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::JsonLines => "application/jsonl",
        }
    }

    /// Encodes a chunk of the file. In CSV, the first chunk starts with the column names.
    pub(crate) fn encode(
        self,
        rows: impl Iterator<Item = ExportRow>,
        first: bool,
        clinical: bool,
    ) -> Vec<u8> {
        const IN_MEMORY: &str = "writing to memory succeeds";
        match self {
            Self::JsonLines => {
                let mut bytes = Vec::new();
                for row in rows {
                    serde_json::to_writer(&mut bytes, &row).expect(IN_MEMORY);
                    bytes.push(b'\n');
                }
                bytes
            }
            Self::Csv => {
                // RFC 4180 specifies CRLF.
                let mut file = csv::WriterBuilder::new()
                    .terminator(csv::Terminator::CRLF)
                    .from_writer(Vec::new());
                if first {
                    let more = if clinical { CLINICAL_COLUMNS.as_slice() } else { &[] };
                    file.write_record(COLUMNS.iter().chain(more)).expect(IN_MEMORY);
                }
                for row in rows {
                    file.write_record(row.cells(clinical)).expect(IN_MEMORY);
                }
                file.into_inner().expect(IN_MEMORY)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_look_like_formulas_are_escaped() {
        for (cell, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("\0=1", "'\0=1"),
            ("red = sore", "red = sore"),
            ("", ""),
        ] {
            assert_eq!(escape_formula(cell.to_owned()), expected);
        }
    }
}
