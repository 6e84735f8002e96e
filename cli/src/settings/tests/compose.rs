//! Tests for docker-compose.yaml: the settings and secrets of each container, ports, networks and limits.

use super::super::defaults;
use super::*;
use diagflow_store::MAX_RESULT_BYTES;
use serde_yaml_ng::Value;
use std::collections::BTreeSet;

/// Settings set by the image instead of the compose file.
const SET_BY_IMAGE: [&str; 3] = ["LISTEN_ADDRESS", "WORKER_LISTEN_ADDRESS", "LOG_FORMAT"];
/// Settings read by a library.
const AWS: [&str; 4] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT"];

/// Returns the compose file with its anchors and merge keys resolved.
fn compose() -> Value {
    let text = include_str!("../../../../docker-compose.yaml");
    let mut file: Value = serde_yaml_ng::from_str(text).expect("YAML");
    file.apply_merge().expect("valid merge keys");
    file
}

fn services(file: &Value) -> Vec<(&str, &Value)> {
    let services = file["services"].as_mapping().expect("services");
    services.iter().map(|(name, service)| (name.as_str().expect("a name"), service)).collect()
}

fn strings(list: &Value) -> BTreeSet<&str> {
    list.as_sequence().into_iter().flatten().map(|item| item.as_str().expect("a string")).collect()
}

/// Returns a container's environment. A variable without a value is passed through from `.env`.
fn environment(service: &Value) -> BTreeMap<&str, String> {
    let variables = service["environment"].as_mapping().into_iter().flatten();
    let variables = variables.map(|(name, value)| {
        let name = name.as_str().expect("a name");
        (name, value.as_str().map_or_else(|| format!("${{{name}:-}}"), str::to_owned))
    });
    variables.collect()
}

#[test]
fn the_api_and_the_workers_receive_every_setting_and_nothing_else() {
    let file = compose();
    let [api, worker] =
        ["api", "worker"].map(|name| environment(&file["services"][name]).into_keys().collect());
    let passed: BTreeSet<&str> = BTreeSet::union(&api, &worker).copied().collect();
    let settings = defaults::all().into_iter().map(|setting| setting.name);
    let expected = settings.chain(AWS).filter(|name| !SET_BY_IMAGE.contains(name));
    assert_eq!(passed, expected.collect());
}

/// Returns whether a variable with this name contains a secret.
fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 6] = ["SECRET", "PASSWORD", "_KEY", "PWD", "SMTP_USER", "DATABASE_URL"];
    PARTS.iter().any(|part| name.contains(part))
}

#[test]
fn each_container_receives_only_its_own_secrets() {
    let shared = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "SECRET_KEY"];
    let of_api = [
        "AUDIT_KEY",
        "PREVIOUS_AUDIT_KEYS",
        "PREVIOUS_SECRET_KEYS",
        "JWT_SECRET_KEY",
        "JWT_PREVIOUS_SECRET_KEYS",
        "LOOPAI_CALLBACK_SECRET",
    ];
    let of_worker = ["LOOPAI_API_KEY", "SMTP_PASSWORD", "SMTP_USER"];
    let file = compose();
    for (name, service) in services(&file) {
        let expected: BTreeSet<&str> = match name {
            "api" => shared.into_iter().chain(of_api).collect(),
            "worker" => shared.into_iter().chain(of_worker).collect(),
            "migrate" => BTreeSet::from(["DATABASE_URL"]),
            "mysql" => {
                BTreeSet::from(["MYSQL_PASSWORD", "MYSQL_ROOT_PASSWORD", "TEMPORAL_DB_PASSWORD"])
            }
            "temporal" | "backup" => BTreeSet::from(["MYSQL_PWD"]),
            "temporal-schema" => BTreeSet::from(["SQL_PASSWORD"]),
            _ => BTreeSet::new(),
        };
        let variables = environment(service);
        let secrets: BTreeSet<&str> =
            variables.keys().copied().filter(|name| is_secret(name)).collect();
        assert_eq!(secrets, expected, "{name}");
        assert!(service["env_file"].is_null(), "{name} gets all variables of a file");
    }
}

/// Replaces `${NAME:-default}` and `${NAME:?message}` with values from `.env`.
fn interpolated(text: &str, variables: &BTreeMap<&str, &str>) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let (expression, after) = rest.split_once('}').expect("a closing brace");
    let (name, fallback) = expression.split_once(':').unwrap_or((expression, "?"));
    let value = match (variables.get(name), fallback.strip_prefix('-')) {
        (Some(value), _) => value,
        (None, Some(default)) => default,
        (None, None) => panic!("{name} is required"),
    };
    format!("{before}{value}{}", interpolated(after, variables))
}

#[test]
fn the_api_and_the_workers_start_in_production_with_the_settings_they_receive() {
    let random =
        |digit: &str| format!("9f86d081884c7d65{digit}a2feaa0c55ad0153bf4f1b2b0b822c{digit}");
    let secrets = ["1", "2", "3", "4"].map(random);
    let file = compose();
    let of_production = BTreeMap::from([
        ("PUBLIC_URL", "https://diagflow.example.org"),
        ("TRUSTED_PROXIES", "1"),
        ("TRUSTED_PROXY_ADDRESSES", "172.28.5.0/24"),
        ("LOOPAI_API_URL", "https://loopai.example.org"),
        ("SMTP_HOST", "smtp.example.org"),
        ("SMTP_TLS", "starttls"),
        ("SMTP_USER", "diagflow"),
        ("SMTP_PASSWORD", "lrmwqkzvhxtpbdjn"),
        ("MAIL_FROM", "help@diagflow.example.org"),
        ("SECRET_KEY", &secrets[0]),
        ("JWT_SECRET_KEY", &secrets[1]),
        ("AUDIT_KEY", &secrets[2]),
        ("DIAGFLOW_DB_PASSWORD", &secrets[3]),
    ]);
    for (name, role) in [("api", Role::Api), ("worker", Role::Worker)] {
        let variables = environment(&file["services"][name]);
        let values = variables.iter().map(|(name, value)| {
            (OsString::from(name), OsString::from(interpolated(value, &of_production)))
        });
        let settings =
            Settings::from(role, values).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(settings.environment == Environment::Production, "{name}");
    }
}

#[test]
fn only_the_proxy_publishes_ports_to_other_machines() {
    let file = compose();
    let of_service = |(name, service): &(_, &Value)| -> Vec<_> {
        strings(&service["ports"]).into_iter().map(|port| (*name, port.to_owned())).collect()
    };
    let ports = services(&file).iter().flat_map(of_service).collect::<Vec<(&str, String)>>();
    assert_eq!(ports.len(), 6, "{ports:?}");
    for (name, port) in ports {
        assert_eq!(port.starts_with("127.0.0.1:"), name != "proxy", "{name}: {port}");
    }
}

#[test]
fn every_container_has_memory_and_process_limits() {
    for (name, service) in services(&compose()) {
        assert!(service["mem_limit"].is_string(), "{name} has no memory limit");
        assert!(service["pids_limit"].is_u64(), "{name} has no process limit");
    }
}

#[test]
fn containers_share_only_the_networks_they_need() {
    let file = compose();
    let in_network = |network: &str| -> BTreeSet<&str> {
        let services = services(&file).into_iter();
        let services =
            services.filter(|(_, service)| strings(&service["networks"]).contains(network));
        services.map(|(name, _)| name).collect()
    };
    for (network, is_internal, expected) in [
        ("database", true, &["api", "backup", "migrate", "mysql", "worker"][..]),
        ("temporal-database", true, &["mysql", "temporal", "temporal-schema"]),
        ("temporal", true, &["api", "temporal", "temporal-namespace", "temporal-ui", "worker"]),
        ("clients", false, &["api", "proxy"]),
        ("partners", false, &["loopai-sim", "mail-catcher", "worker"]),
        ("console", false, &["temporal-ui"]),
    ] {
        assert_eq!(in_network(network), expected.iter().copied().collect(), "{network}");
        let network = &file["networks"][network];
        assert_eq!(network["internal"].as_bool().unwrap_or_default(), is_internal, "{network:?}");
    }
    let isolated = services(&file).into_iter().filter(|(_, service)| service["networks"].is_null());
    assert_eq!(
        isolated.count(),
        0,
        "a container without explicit networks joins the default network"
    );
    assert_eq!(file["networks"].as_mapping().map(serde_yaml_ng::Mapping::len), Some(6));
}

#[test]
fn mysql_can_store_the_largest_result() {
    let file = compose();
    let options = strings(&file["services"]["mysql"]["command"]);
    let bytes = |name: &str| -> usize {
        let value = options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
        let mebibytes = value.and_then(|value| value.strip_suffix('M')).expect(name);
        mebibytes.parse::<usize>().expect("a number") * 1024 * 1024
    };
    // The minimum values in docs/deployment.md.
    assert!(bytes("--max-allowed-packet") >= MAX_RESULT_BYTES + 1024 * 1024);
    assert!(bytes("--innodb-redo-log-capacity") >= 10 * MAX_RESULT_BYTES);
}

#[test]
fn only_the_processes_that_use_mysql_can_reach_it() {
    let file = compose();
    let of_mysql = strings(&file["services"]["mysql"]["networks"]);
    let services = services(&file).into_iter();
    let can_reach_mysql: BTreeSet<&str> = services
        .filter(|(_, service)| !strings(&service["networks"]).is_disjoint(&of_mysql))
        .map(|(name, _)| name)
        .collect();
    let expected = ["api", "backup", "migrate", "mysql", "temporal", "temporal-schema", "worker"];
    assert_eq!(can_reach_mysql, expected.into_iter().collect());
    // The server must not publish its address in one of its networks.
    let temporal = environment(&file["services"]["temporal"]);
    assert_eq!(temporal["TEMPORAL_BROADCAST_ADDRESS"], "127.0.0.1");
}

#[test]
fn the_temporal_ui_can_neither_terminate_nor_start_runs() {
    let file = compose();
    let variables = environment(&file["services"]["temporal-ui"]);
    let disabled: BTreeSet<&str> =
        variables.keys().copied().filter(|name| name.ends_with("_DISABLED")).collect();
    let expected = ["TEMPORAL_START_WORKFLOW_DISABLED", "TEMPORAL_WORKFLOW_TERMINATE_DISABLED"];
    assert_eq!(disabled, expected.into_iter().collect());
    assert!(disabled.iter().all(|name| variables[*name] == "true"), "{variables:?}");
}
