//! Tests for the validation and documentation of settings.

mod compose;
mod production;

use super::*;
use diagflow_store::RecipientLimits;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
    read_as(Role::Api, variables)
}

fn read_as(role: Role, variables: &[(&str, &str)]) -> Result<Settings, String> {
    // As in a real environment, the last value of a variable takes effect.
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
    Settings::from(role, variables).map_err(|error| error.to_string())
}

#[test]
fn every_setting_has_a_valid_default() {
    let settings = read(&[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(settings.loopai.agent_id, 1);
    assert_eq!(settings.loopai.timeout, Duration::from_secs(30), "LoopAI's own time limit");
    assert_eq!(settings.dispatch.schedule.deadline_ms, 3_600_000);
    assert_eq!(settings.api.max_file_bytes, 10 * 1024 * 1024);
}

#[test]
fn all_invalid_settings_are_reported_at_once_without_their_values() {
    let error = read(&[
        ("LISTEN_ADDRESS", "everywhere"),
        ("DATABASE_URL", "postgres://u:hunter2@h/db"),
        ("SMTP_PASSWORD", "hunter2"),
        ("DIAGNOSIS_POLL_SECONDS", "5,soon"),
    ])
    .err()
    .expect("an error");
    for name in ["LISTEN_ADDRESS", "DATABASE_URL", "SMTP_USER", "DIAGNOSIS_POLL_SECONDS"] {
        assert!(error.contains(name), "{name} in {error}");
    }
    assert!(error.contains("4 invalid settings"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn the_public_address_must_not_have_a_path() {
    for accepted in ["https://diagflow.example.org", "https://diagflow.example.org:8443/"] {
        assert!(read(&[("PUBLIC_URL", accepted)]).is_ok(), "{accepted}");
    }
    for refused in [
        "https://example.org/diagflow",
        "https://example.org/diagflow/",
        "https://example.org/?a",
        "https://example.org/#a",
        "https://ana:secret@example.org",
    ] {
        let error = read(&[("PUBLIC_URL", refused)]).err().expect(refused);
        assert!(error.contains("PUBLIC_URL: Use an address without a path"), "{error}");
    }
}

#[test]
fn a_setting_must_be_valid_utf_8() {
    let broken = || OsString::from_vec(vec![b'f', 0xff]);
    let read = |name: OsString| Settings::from(Role::Api, std::iter::once((name, broken())));
    let error = read("SMTP_HOST".into()).err().expect("an error").to_string();
    assert!(error.contains("SMTP_HOST: The value is not valid UTF-8"), "{error}");
    assert!(read("LESS".into()).is_ok() && read(broken()).is_ok(), "other variables are ignored");
}

#[test]
fn the_database_address_omits_the_password() {
    let address = |url| read(&[("DATABASE_URL", url)]).map(|settings| settings.database.address());
    assert_eq!(address("mysql://u:hunter2@db.example.org/d"), Ok("db.example.org:3306".to_owned()));
    assert_eq!(address("mysql://u:hunter2@[::1]:4407/d"), Ok("[::1]:4407".to_owned()));
}

#[test]
fn the_largest_submission_fits_into_the_workers_image_memory() {
    let memory = |given: &[(&str, &str)]| read(given).map(|settings| settings.image_memory());
    assert_eq!(memory(&[]), Ok(512 * 1024 * 1024));
    let tight = [("WORKER_IMAGE_MEMORY_BYTES", "1"), ("MAX_FILES", "3"), ("MAX_FILE_BYTES", "100")];
    assert_eq!(memory(&tight), Ok(3 * 100 * 4));
}

#[test]
fn a_limit_of_zero_means_no_limit() {
    let limits = |given: &[(&str, &str)]| read(given).map(|settings| settings.limits);
    assert_eq!(
        limits(&[]),
        Ok(LoopAiLimits { max_executions: Some(200), max_per_hour: Some(10_000) })
    );
    let without = [("LOOPAI_MAX_EXECUTIONS", "0"), ("LOOPAI_MAX_PER_HOUR", "0")];
    assert_eq!(limits(&without), Ok(LoopAiLimits::default()));

    let limits = |given: &[(&str, &str)]| read(given).map(|settings| settings.api.recipient_limits);
    assert_eq!(limits(&[]), Ok(RecipientLimits { max_open: Some(3), max_per_day: Some(10) }));
    let without = [("RECIPIENT_MAX_OPEN", "0"), ("RECIPIENT_MAX_PER_DAY", "0")];
    assert_eq!(limits(&without), Ok(RecipientLimits::default()));
}

#[test]
fn a_poll_schedule_that_exceeds_the_history_limit_is_rejected() {
    let schedule = |waits, deadline| {
        read(&[("DIAGNOSIS_POLL_SECONDS", waits), ("DIAGNOSIS_DEADLINE_SECONDS", deadline)])
            .map(|settings| settings.dispatch.schedule)
    };
    let fits = |waits, deadline| schedule(waits, deadline).is_ok();
    // 40,000 events at 6 per poll allow 6,666 polls.
    assert!(fits("0.05", "333.3") && !fits("0.05", "333.301"));
    assert!(fits("60", "399960") && !fits("60", "399961"));
    // Only the last delay repeats.
    assert!(fits("0.05,0.05,1", "3600") && !fits("60,0.5", "3600"));
    let error = schedule("0.5", "3600").expect_err("an error");
    assert!(error.contains("DIAGNOSIS_POLL_SECONDS: Use a longer last delay"), "{error}");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let settings = read(&[("LOOPAI_API_KEY", ""), ("SMTP_PORT", "")]);
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    assert!(settings.loopai.key.is_none());
    assert_eq!(settings.mail.port, 1025);
}

#[test]
fn invalid_values_are_rejected() {
    for (name, wrong) in [
        ("DIAGFLOW_ENV", "staging"),
        ("DATABASE_POOL_SIZE", "0"),
        ("SMTP_POOL_SIZE", "0"),
        ("MAX_FILES", "101"),
        ("MAX_FILES", "0"),
        ("MAX_FILE_BYTES", "0"),
        ("EVENTS_POLL_SECONDS", "0"),
        ("EVENTS_HEARTBEAT_SECONDS", "0"),
        ("DIAGNOSIS_POLL_SECONDS", "0.049,5"),
        ("DIAGNOSIS_POLL_SECONDS", "0,5"),
        ("DIAGNOSIS_POLL_SECONDS", "5,0.5"),
        ("DIAGNOSIS_DEADLINE_SECONDS", "399961"),
        ("LOOPAI_TIMEOUT_SECONDS", "0"),
        ("LOOPAI_TIMEOUT_SECONDS", "41"),
        ("LOOPAI_MAX_EXECUTIONS", "-1"),
        ("LOOPAI_MAX_EXECUTIONS", "many"),
        ("LOOPAI_MAX_PER_HOUR", "100001"),
        ("LOOPAI_IMAGES", "link"),
        ("WORKER_CONCURRENCY", "1"),
        ("WORKER_IMAGE_MEMORY_BYTES", "much"),
        ("LOG_LEVEL", "diagflow=loud"),
        ("STORAGE_URL", "ftp://host/folder"),
        ("STORAGE_URL", "file://host/folder"),
        ("CONSENT_VERSION", "of today"),
        ("JWT_ALGORITHM", "none"),
        ("TRUSTED_PROXIES", "-1"),
        ("TRUSTED_PROXY_ADDRESSES", "10.0.0.0/33"),
        ("TRUSTED_PROXY_ADDRESSES", "proxy.example.org"),
        ("RATE_LIMIT_SUBMIT_PER_MINUTE", "0"),
        ("RECIPIENT_MAX_OPEN", "-1"),
        ("RECIPIENT_MAX_PER_DAY", "10001"),
        ("SMTP_SUPPORTS_SMTPUTF8", "yes"),
        ("RATE_LIMIT_WEBHOOK_PER_MINUTE", "many"),
    ] {
        // The problem is reported together with another invalid setting.
        let error = read(&[(name, wrong), ("LISTEN_ADDRESS", "everywhere")]).err();
        let error = error.unwrap_or_else(|| panic!("{name}={wrong} is accepted"));
        assert!(error.contains(name) && error.contains("2 invalid settings"), "{error}");
    }
}

/// Generates docs/settings.md from `defaults.toml`.
fn documentation() -> String {
    let mut page =
        String::from("# Settings\n\n<!-- Generated from cli/src/settings/defaults.toml. -->\n");
    for paragraph in defaults::introduction() {
        page.push_str(&format!("\n{paragraph}\n"));
    }
    let mut section = "";
    for setting in defaults::all() {
        if setting.section != section {
            section = setting.section;
            page.push_str(&format!("\n## {section}\n\n| variable | default | |\n|---|---|---|\n"));
        }
        let default = match setting.default {
            "" => String::new(),
            text => format!("`{text}`"),
        };
        page.push_str(&format!("| `{}` | {default} | {} |\n", setting.name, setting.description));
    }
    page
}

#[test]
fn the_documentation_matches_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, documentation()).expect("docs/settings.md is writable");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == documentation(),
        "docs/settings.md is out of date: run `UPDATE_DOCS=1 cargo test -p diagflow-cli documentation`"
    );
}

#[test]
fn every_setting_is_documented() {
    for setting in defaults::all() {
        assert!(!setting.section.is_empty() && !setting.description.is_empty(), "{}", setting.name);
    }
}
