//! Parses scenarios. The grammar is documented in the [parent module](super). Every parse error includes a summary,
//! [`GRAMMAR`].

use std::{str::FromStr, time::Duration};

use super::scenario::{Fault, Injection, Outcome, Repeated, Scenario};

/// A summary of the grammar for error messages and the status page.
pub const GRAMMAR: &str = "Allowed, separated by commas: \
    delay=20s | complete | fail | fail=TEXT | stuck | no-result | diagnose=FAULT | status=FAULT. \
    FAULT: 400..599 | 429:7s (Retry-After) | hang | reset | drop | cut | html | truncated | \
    unknown | unknown:WORD (status only) | no-id (diagnose only) | huge | huge:50MB | redirect | \
    slow:5s. diagnose=accept+FAULT creates the execution first. An item followed by *N applies \
    only the first N times. \"then\" before an item is optional.";

/// Size in bytes for `huge` without a value, just above the 5 MB that Diagflow accepts.
const DEFAULT_HUGE: u64 = 6_000_000;
const DEFAULT_RETRY_AFTER: u64 = 1;
const OPENING: &str = "[sim:";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid simulator directive `{item}`: {reason}. {GRAMMAR}")]
pub struct DirectiveError {
    pub item: String,
    pub reason: String,
}

impl FromStr for Scenario {
    type Err = DirectiveError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
    }
}

impl TryFrom<String> for Scenario {
    type Error = DirectiveError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Finds and parses the directive in a submission's comments.
pub(super) fn find(comments: &str) -> Result<Option<Scenario>, DirectiveError> {
    // Only ASCII letters are lowercased so that byte offsets remain valid.
    let lower = comments.to_ascii_lowercase();
    let Some(start) = lower.find(OPENING) else {
        return Ok(None);
    };
    let rest = &comments[start + OPENING.len()..];
    let error = |reason: &str| DirectiveError {
        item: comments[start..].chars().take(80).collect(),
        reason: reason.to_owned(),
    };
    let end = rest.find(']').ok_or_else(|| error("the closing `]` is missing"))?;
    if rest[end..].to_ascii_lowercase().contains(OPENING) {
        return Err(error("there is more than one directive"));
    }
    parse(&rest[..end]).map(Some)
}

/// Parses a scenario with or without the enclosing `[sim: …]`. An empty string is a scenario without faults.
pub(super) fn parse(text: &str) -> Result<Scenario, DirectiveError> {
    let text = text.trim();
    if text.to_ascii_lowercase().starts_with(OPENING) {
        return Ok(find(text)?.unwrap_or_default());
    }
    let mut scenario = Scenario::default();
    if text.is_empty() {
        return Ok(scenario);
    }
    for item in text.split(',').map(str::trim) {
        add(&mut scenario, item)
            .map_err(|reason| DirectiveError { item: item.to_owned(), reason })?;
    }
    Ok(scenario)
}

fn add(scenario: &mut Scenario, item: &str) -> Result<(), String> {
    let (body, times) = split_times(item.strip_prefix("then ").unwrap_or(item))?;
    let (name, value) = match body.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (body, None),
    };
    match (name.to_ascii_lowercase().as_str(), value) {
        ("delay", Some(_)) if times.is_some() => return Err("delay does not take *N".to_owned()),
        ("delay", Some(value)) => scenario.delay = Some(duration(value)?),
        ("diagnose", Some(value)) => {
            let what = diagnose_fault(value)?;
            scenario.diagnose.push(Repeated { what, times });
        }
        ("status", Some(value)) => {
            let what = status_fault(value)?;
            scenario.status.push(Repeated { what, times });
        }
        (name, value) => {
            let what = outcome(name, value)?;
            scenario.outcomes.push(Repeated { what, times });
        }
    }
    Ok(())
}

fn outcome(name: &str, value: Option<&str>) -> Result<Outcome, String> {
    match (name, value) {
        ("fail", None) => Ok(Outcome::Fail("Simulated failure".to_owned())),
        ("fail", Some(text)) if !text.is_empty() => Ok(Outcome::Fail(text.to_owned())),
        ("complete", None) => Ok(Outcome::Complete),
        ("stuck", None) => Ok(Outcome::Stuck),
        ("no-result", None) => Ok(Outcome::NoResult),
        ("", _) => Err("the item is empty".to_owned()),
        (name, _) => Err(format!("`{name}` is unknown or has an invalid value")),
    }
}

fn diagnose_fault(text: &str) -> Result<Injection, String> {
    let (accept, name) = match text.strip_prefix("accept+") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    match fault(name)? {
        Fault::Unknown(_) => Err("unknown is only valid for status".to_owned()),
        fault => Ok(Injection { fault, accept }),
    }
}

fn status_fault(text: &str) -> Result<Injection, String> {
    if text.starts_with("accept+") {
        return Err("accept+ is only valid for diagnose".to_owned());
    }
    match fault(text)? {
        Fault::NoId => Err("no-id is only valid for diagnose".to_owned()),
        fault => Ok(Injection { fault, accept: false }),
    }
}

fn fault(text: &str) -> Result<Fault, String> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (text, None),
    };
    let fault = match (name, value) {
        ("hang", None) => Fault::Hang,
        ("reset", None) => Fault::Reset,
        ("drop", None) => Fault::Drop,
        ("cut", None) => Fault::Cut,
        ("html", None) => Fault::Html,
        ("truncated", None) => Fault::Truncated,
        ("no-id", None) => Fault::NoId,
        ("redirect", None) => Fault::Redirect,
        ("unknown", word) => Fault::Unknown(word.unwrap_or("THINKING").to_owned()),
        ("huge", size) => Fault::Huge(size.map_or(Ok(DEFAULT_HUGE), bytes)?),
        ("slow", Some(delay)) => Fault::Slow(duration(delay)?),
        (code, wait) => status(code, wait)?,
    };
    Ok(fault)
}

fn status(code: &str, wait: Option<&str>) -> Result<Fault, String> {
    let code: u16 =
        code.parse().ok().filter(|code| (400..600).contains(code)).ok_or_else(|| {
            format!("unknown fault `{code}` (a status must be between 400 and 599)")
        })?;
    let retry_after = match wait {
        Some(wait) => Some(duration(wait)?.as_secs()),
        None => (code == 429).then_some(DEFAULT_RETRY_AFTER),
    };
    Ok(Fault::Status { code, retry_after })
}

fn split_times(item: &str) -> Result<(&str, Option<u32>), String> {
    let Some((body, times)) = item.rsplit_once('*') else {
        return Ok((item.trim(), None));
    };
    match times.trim().parse() {
        Ok(times) if times > 0 => Ok((body.trim(), Some(times))),
        _ => Err("* must be followed by a number of at least 1".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a duration such as 500ms, 20s, 5m or 1h"))?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{text}` needs a unit: ms, s, m or h")),
    };
    let ms = number.checked_mul(factor).filter(|ms| *ms <= 7 * 24 * 3_600_000);
    ms.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is longer than a week"))
}

fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let number: u64 =
        number.parse().map_err(|_| format!("`{text}` is not a size such as 300KB or 50MB"))?;
    let factor = match unit.to_ascii_uppercase().as_str() {
        "KB" => 1000,
        "MB" => 1_000_000,
        _ => return Err(format!("`{text}` needs a unit: KB or MB")),
    };
    let size = number.checked_mul(factor).filter(|size| *size <= 1_000_000_000);
    size.ok_or_else(|| format!("`{text}` is more than 1000MB"))
}

fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_every_kind_of_item() {
        let text = "diagnose=accept+drop*1, diagnose=503:7s*2, status=429*2, status=hang, \
                    status=unknown:MAYBE, status=huge:50MB, status=slow:1500ms, status=cut, \
                    fail=no light*1, stuck, delay=20s";
        let scenario = parse(text).expect("readable");
        assert_eq!(scenario.delay, Some(Duration::from_secs(20)));
        assert_eq!(scenario.diagnose.len(), 2);
        assert!(scenario.diagnose[0].what.accept);
        assert_eq!(scenario.diagnose[1].times, Some(2));
        assert_eq!(
            scenario.diagnose[1].what.fault,
            Fault::Status { code: 503, retry_after: Some(7) }
        );
        assert_eq!(
            scenario.status[0].what.fault,
            Fault::Status { code: 429, retry_after: Some(1) }
        );
        assert_eq!(scenario.status[3].what.fault, Fault::Huge(50_000_000));
        assert_eq!(scenario.outcomes[0].what, Outcome::Fail("no light".to_owned()));
        // Displaying a scenario and parsing the result yields the same scenario.
        assert_eq!(parse(&scenario.to_string()), Ok(scenario));
    }

    #[test]
    fn finds_a_directive_inside_other_text() {
        let found = find("Ünder the left arm. [SIM: status=429*2, then delay=1s] thanks");
        let scenario = found.expect("readable").expect("present");
        assert_eq!(scenario.delay, Some(Duration::from_secs(1)));
        assert_eq!(scenario.status[0].times, Some(2));
        assert_eq!(find("an ordinary comment, [see: above]"), Ok(None));
    }

    #[test]
    fn an_invalid_directive_is_rejected_with_the_grammar() {
        for text in [
            "[sim: explode]",
            "[sim: fail",
            "[sim: fail] [sim: stuck]",
            "[sim: status=200]",
            "[sim: status=no-id]",
            "[sim: status=accept+500]",
            "[sim: diagnose=unknown]",
            "[sim: delay=20]",
            "[sim: delay=20s*2]",
            "[sim: status=500*0]",
            "[sim: status=huge:9000MB]",
            "[sim: fail,,stuck]",
            "[sim: stuck=1]",
            "[sim: fail=]",
        ] {
            let error = find(text).expect_err(text).to_string();
            assert!(error.contains("Allowed"), "{error}");
        }
    }
}
