//! Reads variables one by one and collects every fault, so that all of them are told at once.

use secrecy::SecretString;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// All faults of the settings.
#[derive(Debug)]
pub(crate) struct InvalidSettings(Vec<String>);

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings have {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for InvalidSettings {}

/// Defaults with the environment on top.
pub(crate) struct Reader {
    values: BTreeMap<String, String>,
    faults: Vec<String>,
}

impl Reader {
    /// `defaults` is a TOML table of strings; `environment` wins. An empty variable counts as unset.
    pub(crate) fn new(
        defaults: &str,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Reader, toml::de::Error> {
        let mut reader = Reader { values: toml::from_str(defaults)?, faults: Vec::new() };
        for (name, value) in environment.filter(|(_, value)| !value.is_empty()) {
            // A name that is no text is none of ours.
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(reader.values.insert(name, value)),
                Err(_) if reader.values.contains_key(&name) => {
                    reader.fault(format!("{name} cannot be read; it must be UTF-8"));
                }
                Err(_) => {}
            }
        }
        Ok(reader)
    }

    /// A variable that may be missing.
    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A secret that may be missing.
    pub(crate) fn secret(&self, name: &str) -> Option<SecretString> {
        self.optional(name).map(SecretString::from)
    }

    /// A variable of a type that reads itself. `None` after a fault.
    pub(crate) fn parse<T: FromStr>(&mut self, name: &str, meaning: &str) -> Option<T> {
        self.read(name, meaning, |text| text.parse().ok())
    }

    /// Seconds, with decimals, from a millisecond on: nothing here can be done in no time.
    pub(crate) fn seconds(&mut self, name: &str) -> Option<Duration> {
        self.read(name, "seconds, such as 30 or 0.5, and more than 0", |text| {
            let duration = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
            (duration >= Duration::from_millis(1)).then_some(duration)
        })
    }

    /// A whole number within a range.
    pub(crate) fn number<T: FromStr + PartialOrd + fmt::Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let meaning = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(name, &meaning, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    /// A list, separated by commas.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let items = self.optional(name).unwrap_or_default().split(',');
        items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// A variable that `read` understands. `None` after a fault.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        meaning: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        match self.optional(name) {
            None => self.fault(format!("{name} is missing; it must be {meaning}")),
            Some(text) => match read(text) {
                Some(value) => return Some(value),
                // The value itself is not shown: it may hold a password.
                None => self.fault(format!("{name} cannot be read; it must be {meaning}")),
            },
        }
        None
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// The faults, if there are any.
    pub(crate) fn finish(self) -> Result<(), InvalidSettings> {
        if self.faults.is_empty() { Ok(()) } else { Err(InvalidSettings(self.faults)) }
    }
}
