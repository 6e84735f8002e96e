//! Tests that unsafe settings are rejected in production.

use super::super::Role;
use super::read_as;

const SECRETS: [&str; 4] = [
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
    "baa5a0964d3320fbc0c6a922140453c8513ea24ab8fd0577034804a967248096",
];

/// Settings that the API and a worker accept in production.
const COMPLETE: [(&str, &str); 11] = [
    ("DIAGFLOW_ENV", "production"),
    ("PUBLIC_URL", "https://diagflow.example.org"),
    ("TRUSTED_PROXIES", "1"),
    ("TRUSTED_PROXY_ADDRESSES", "10.0.5.1"),
    ("MAIL_FROM", "help@diagflow.example.org"),
    ("SMTP_HOST", "mail"),
    ("SECRET_KEY", SECRETS[0]),
    ("JWT_SECRET_KEY", SECRETS[1]),
    ("AUDIT_KEY", SECRETS[2]),
    ("DATABASE_URL", "mysql://diagflow:lrmwqkzvhxtpbdjn@mysql/diagflow"),
    ("ERASURE_LOG", "/erasures/erasures.jsonl"),
];

/// Reads the complete settings with `changes` applied.
fn read_with(role: Role, changes: &[(&str, &str)]) -> Result<(), String> {
    read_as(role, &[&COMPLETE[..], changes].concat()).map(drop)
}

/// Asserts that only the setting `name` is rejected, and returns the report.
fn rejected(role: Role, changes: &[(&str, &str)], name: &str) -> String {
    let report = read_with(role, changes).expect_err("an error");
    assert!(report.starts_with("1 invalid setting:"), "{report}");
    assert!(report.contains(&format!("\n  {name}: ")), "{name} in {report}");
    report
}

#[test]
fn development_settings_are_rejected_in_one_report() {
    let names = |role| {
        let report = read_as(role, &[("DIAGFLOW_ENV", "production")]).err().expect("an error");
        let problems = report.lines().skip(1).filter_map(|line| line.trim().split_once(": "));
        problems.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    let of_api = [
        "AUDIT_KEY",
        "DATABASE_URL",
        "ERASURE_LOG",
        "JWT_SECRET_KEY",
        "PUBLIC_URL",
        "SECRET_KEY",
        "TRUSTED_PROXIES",
    ];
    assert_eq!(names(Role::Api), of_api);
    let of_worker = ["DATABASE_URL", "MAIL_FROM", "PUBLIC_URL", "SECRET_KEY", "SMTP_HOST"];
    assert_eq!(names(Role::Worker), of_worker);
}

#[test]
fn a_report_names_every_unsafe_setting_but_contains_no_values() {
    let report = read_with(
        Role::Api,
        &[
            ("PUBLIC_URL", "http://diagflow.example.org"),
            ("TRUSTED_PROXIES", ""),
            ("SECRET_KEY", "hunter2hunter2hunter2hunter2hunter2"),
            ("AUDIT_KEY", SECRETS[1]),
            ("CORS_ORIGINS", "*"),
            ("IDEMPOTENCY_LIFETIME_SECONDS", "60"),
        ],
    );
    let report = report.expect_err("an error");
    for (name, remedy) in [
        ("PUBLIC_URL", "https"),
        ("TRUSTED_PROXIES", "the number of reverse proxies"),
        ("SECRET_KEY", "openssl rand -hex 32"),
        ("AUDIT_KEY", "a different value from JWT_SECRET_KEY"),
        ("CORS_ORIGINS", "https origins"),
        ("IDEMPOTENCY_LIFETIME_SECONDS", "at least 86400"),
    ] {
        let line = report.lines().find(|line| line.trim().starts_with(name));
        assert!(line.is_some_and(|line| line.contains(remedy)), "{name} in {report}");
    }
    assert!(report.starts_with("6 invalid settings:"), "{report}");
    assert!(!report.contains("hunter2") && !report.contains(SECRETS[1]), "{report}");
}

#[test]
fn each_process_needs_only_its_own_secrets() {
    assert_eq!(read_with(Role::Api, &[("MAIL_FROM", ""), ("SMTP_HOST", "")]), Ok(()));
    let without_api = ["JWT_SECRET_KEY", "AUDIT_KEY", "TRUSTED_PROXIES", "ERASURE_LOG"];
    assert_eq!(read_with(Role::Worker, &without_api.map(|name| (name, ""))), Ok(()));
}

#[test]
fn equal_and_weak_secrets_are_rejected() {
    for name in [
        "SECRET_KEY",
        "PREVIOUS_SECRET_KEYS",
        "JWT_SECRET_KEY",
        "JWT_PREVIOUS_SECRET_KEYS",
        "AUDIT_KEY",
    ] {
        for weak in ["x".repeat(64), "change-me-".repeat(5), SECRETS[3][..31].to_owned()] {
            rejected(Role::Api, &[(name, &weak)], name);
        }
    }
    assert_eq!(read_with(Role::Api, &[("PREVIOUS_AUDIT_KEYS", "a weak key")]), Ok(()));
    rejected(Role::Worker, &[("SECRET_KEY", "0123456789abcdef0123456789abcdef")], "SECRET_KEY");
    rejected(Role::Api, &[("LOOPAI_CALLBACK_SECRET", "callback")], "LOOPAI_CALLBACK_SECRET");

    for name in [
        "PREVIOUS_SECRET_KEYS",
        "JWT_PREVIOUS_SECRET_KEYS",
        "PREVIOUS_AUDIT_KEYS",
        "LOOPAI_CALLBACK_SECRET",
    ] {
        let report = rejected(Role::Api, &[(name, SECRETS[0])], name);
        assert!(report.contains("Use a different value from SECRET_KEY"), "{report}");
        assert_eq!(read_with(Role::Api, &[(name, SECRETS[3])]), Ok(()));
    }
    let password = [("SMTP_USER", "u"), ("SMTP_PASSWORD", SECRETS[0]), ("SMTP_TLS", "starttls")];
    rejected(Role::Worker, &password, "SMTP_PASSWORD");
}

#[test]
fn passwords_for_other_systems_must_not_be_easy_to_guess() {
    let read = |role, name: &str, password: &str| {
        let url = format!("mysql://diagflow:{password}@mysql/diagflow");
        let value = if name == "DATABASE_URL" { url.as_str() } else { password };
        let changes = [
            ("SMTP_TLS", "starttls"),
            ("SMTP_USER", "u"),
            ("SMTP_PASSWORD", SECRETS[3]),
            (name, value),
        ];
        read_with(role, &changes)
    };
    for (role, name) in [
        (Role::Api, "DATABASE_URL"),
        (Role::Worker, "DATABASE_URL"),
        (Role::Worker, "LOOPAI_API_KEY"),
        (Role::Worker, "SMTP_PASSWORD"),
    ] {
        for weak in [
            "diagflow",
            "hunter2",
            "changeme",
            "change-me-before-production",
            "your-api-key-here",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "0123456789abcdef",
            "DiagflowProduction2026",
        ] {
            let report = read(role, name, weak).expect_err(weak);
            assert!(report.starts_with("1 invalid setting:"), "{report}");
            assert!(report.contains(&format!("\n  {name}: Use a password or key")), "{report}");
            assert!(!report.contains(weak), "{report}");
        }
        for random in ["lrmwqkzvhxtpbdjn", "9f86d081884c7d65", "kT8vQz1mWc4X", SECRETS[2]] {
            assert_eq!(read(role, name, random), Ok(()), "{name}={random}");
        }
    }
    for url in ["mysql://diagflow@mysql/diagflow", "mysql://diagflow:@mysql/diagflow"] {
        rejected(Role::Api, &[("DATABASE_URL", url)], "DATABASE_URL");
    }
}

#[test]
fn cors_origins_must_use_https() {
    for origins in
        ["*", "null", "http://app.example.org", "https://a.example.org,*", "app.example.org"]
    {
        rejected(Role::Api, &[("CORS_ORIGINS", origins)], "CORS_ORIGINS");
    }
    let https = "https://app.example.org, https://other.example.org:8443";
    assert_eq!(read_with(Role::Api, &[("CORS_ORIGINS", https)]), Ok(()));
}

#[test]
fn the_number_and_the_addresses_of_proxies_must_be_set() {
    rejected(Role::Api, &[("TRUSTED_PROXIES", "")], "TRUSTED_PROXIES");
    rejected(Role::Api, &[("TRUSTED_PROXY_ADDRESSES", "")], "TRUSTED_PROXY_ADDRESSES");
    let without = [("TRUSTED_PROXIES", "0"), ("TRUSTED_PROXY_ADDRESSES", "")];
    assert_eq!(read_with(Role::Api, &without), Ok(()));
}

#[test]
fn the_erasure_log_must_be_set() {
    let report = rejected(Role::Api, &[("ERASURE_LOG", "")], "ERASURE_LOG");
    assert!(report.contains("restore"), "{report}");
}

#[test]
fn loopai_and_the_mail_server_need_encryption_outside_the_private_network() {
    for (host, is_private) in [
        ("loopai-web", true),
        ("127.0.0.1", true),
        ("10.1.2.3", true),
        ("[fd00::1]", true),
        ("loopai.example.org", false),
        ("203.0.113.7", false),
        ("169.254.169.254", false),
        ("[2001:db8::1]", false),
    ] {
        let (http, https) = (format!("http://{host}:5000"), format!("https://{host}"));
        let read = |url: &str| read_with(Role::Worker, &[("LOOPAI_API_URL", url)]);
        assert_eq!(read(&http).is_ok(), is_private, "{http}");
        assert_eq!(read(&https), Ok(()), "{https}");

        let host = host.trim_matches(['[', ']']);
        let read = |tls| read_with(Role::Worker, &[("SMTP_HOST", host), ("SMTP_TLS", tls)]);
        assert_eq!(read("none").is_ok(), is_private, "{host}");
        assert_eq!(read("starttls"), Ok(()), "{host}");
    }
    let unencrypted = [("SMTP_USER", "u"), ("SMTP_PASSWORD", SECRETS[3])];
    rejected(Role::Worker, &unencrypted, "SMTP_TLS");
}

#[test]
fn the_mail_server_must_be_set() {
    rejected(Role::Worker, &[("SMTP_HOST", "")], "SMTP_HOST");
    let same_machine = [("SMTP_HOST", "127.0.0.1")];
    assert_eq!(
        read_with(Role::Worker, &same_machine),
        Ok(()),
        "the default value may be set explicitly"
    );
}

#[test]
fn unsafe_settings_are_accepted_in_development() {
    let settings = [
        ("CORS_ORIGINS", "*"),
        ("LOOPAI_API_URL", "http://loopai.example.org"),
        ("IDEMPOTENCY_LIFETIME_SECONDS", "60"),
        ("SECRET_KEY", "x"),
        ("JWT_SECRET_KEY", "x"),
    ];
    for role in [Role::Api, Role::Worker] {
        assert!(read_as(role, &settings).is_ok());
    }
}
