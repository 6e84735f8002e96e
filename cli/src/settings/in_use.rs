//! The settings in use, without secrets, for the console.

use super::defaults::{self, Setting};
use super::reader::Reader;
use diagflow_api::SettingInUse;
use std::ffi::OsString;
use url::Url;

/// Replaces secret parts of an address.
const HIDDEN: &str = "hidden";

/// Returns the settings that the environment contains or that have a default, in the order of `defaults.toml`.
pub(crate) fn in_use() -> Vec<SettingInUse> {
    of(std::env::vars_os())
}

fn of(environment: impl Iterator<Item = (OsString, OsString)>) -> Vec<SettingInUse> {
    let reader = Reader::new(environment);
    let settings = defaults::all().into_iter();
    settings.map(|setting| shown(&reader, setting)).collect()
}

fn shown(reader: &Reader, setting: Setting) -> SettingInUse {
    let value = reader.value(setting.name).filter(|value| !value.is_empty());
    let is_secret = is_secret(setting.name);
    SettingInUse {
        section: setting.section.to_owned(),
        name: setting.name.to_owned(),
        value: value.filter(|_| !is_secret).map(without_secrets),
        secret: is_secret,
        set: value.is_some(),
        default: !reader.is_set(setting.name),
        description: setting.description,
    }
}

/// Returns whether the value of a setting is a secret as a whole.
fn is_secret(name: &str) -> bool {
    let words: Vec<_> = name.split('_').collect();
    let names_secret =
        ["SECRET", "KEY", "KEYS", "PASSWORD", "TOKEN"].iter().any(|secret| words.contains(secret));
    names_secret && !words.contains(&"LIFETIME")
}

/// Hides the password and the query of an address, and a user name without a password, which may be a token.
fn without_secrets(value: &str) -> String {
    let Ok(mut url) = value.parse::<Url>() else { return value.to_owned() };
    let (has_user, has_password) = (!url.username().is_empty(), url.password().is_some());
    if !has_user && !has_password && url.query().is_none() {
        return value.to_owned();
    }
    let is_hidden = match (has_user, has_password) {
        (_, true) => url.set_password(Some(HIDDEN)),
        (true, false) => url.set_username(HIDDEN),
        (false, false) => Ok(()),
    };
    if url.query().is_some() {
        url.set_query(Some(HIDDEN));
    }
    is_hidden.map_or_else(|()| HIDDEN.to_owned(), |()| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(environment: &[(&str, &str)]) -> Vec<SettingInUse> {
        of(environment.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn setting(settings: &[SettingInUse], name: &str) -> SettingInUse {
        settings.iter().find(|setting| setting.name == name).expect("a setting").clone()
    }

    #[test]
    fn exactly_these_settings_are_secrets() {
        let secrets = settings(&[]).into_iter().filter(|setting| setting.secret);
        assert_eq!(
            secrets.map(|setting| setting.name).collect::<Vec<_>>(),
            [
                "SECRET_KEY",
                "PREVIOUS_SECRET_KEYS",
                "JWT_SECRET_KEY",
                "JWT_PREVIOUS_SECRET_KEYS",
                "AUDIT_KEY",
                "PREVIOUS_AUDIT_KEYS",
                "LOOPAI_API_KEY",
                "LOOPAI_CALLBACK_SECRET",
                "SMTP_PASSWORD",
            ]
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let all = settings(&[
            ("SECRET_KEY", "sesame"),
            ("SMTP_PASSWORD", "sesame"),
            ("DATABASE_URL", "mysql://ana:sesame@db.example/diagflow"),
            ("LOOPAI_API_URL", "https://sesame@loopai.example/?token=sesame"),
            ("MAX_FILES", "3"),
        ]);
        assert!(!format!("{all:?}").contains("sesame"));
        assert!(!format!("{all:?}").contains("development-only"));
        let shown = |name| setting(&all, name).value;
        assert_eq!(
            shown("DATABASE_URL").as_deref(),
            Some("mysql://ana:hidden@db.example/diagflow")
        );
        assert_eq!(
            shown("LOOPAI_API_URL").as_deref(),
            Some("https://hidden@loopai.example/?hidden")
        );
        let (key, files) = (setting(&all, "SECRET_KEY"), setting(&all, "MAX_FILES"));
        assert!(key.set && !key.default && key.value.is_none());
        assert!(files.set && !files.default && files.value.as_deref() == Some("3"));
        let unset = setting(&all, "RETENTION_DAYS");
        assert!(!unset.set && unset.default && unset.value.is_none());
    }
}
