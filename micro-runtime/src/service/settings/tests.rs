use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::value::go_duration;
use super::*;
use crate::error::Error;

fn of_env(env: &[(&str, &str)]) -> Parsed {
    Settings::parse(["greeter"], env.iter().copied()).unwrap()
}

fn wrong_env(name: &str, value: &str) -> Stop {
    Settings::parse(["greeter"], [(name, value)]).unwrap_err()
}

#[test]
fn what_is_not_set_stays_unset() {
    let parsed = of_env(&[("PATH", "/bin"), ("MICRO_SERVER_NAME", "")]);
    assert_eq!(
        format!("{:?}", parsed.settings),
        format!("{:?}", Settings::default())
    );
    assert!(parsed.warnings.is_empty());
    assert!(!parsed.explain);
}

#[test]
fn every_variable_is_read() {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), "{}").unwrap();
    let parsed = of_env(&[
        ("MICRO_CONFIG", file.path().to_str().unwrap()),
        ("MICRO_SERVER_NAME", "greeter"),
        ("MICRO_SERVER_VERSION", "1.2.3"),
        ("MICRO_SERVER_ID", "7"),
        ("MICRO_SERVER_ADDRESS", ":8080"),
        ("MICRO_SERVER_ADVERTISE", "10.0.0.1:8080"),
        ("MICRO_SERVER_METADATA", "region=eu, url=http://a?b=c,bare"),
        ("MICRO_SERVER", "mucp,braid"),
        (
            "MICRO_ALLOWED_ORIGINS",
            "https://App.example/, http://localhost:3000",
        ),
        ("MICRO_SERVER_CONNECTION_AGE", "30m"),
        ("MICRO_SERVER_CONNECTION_GRACE", "10s"),
        ("MICRO_REFLECTION", "on"),
        ("MICRO_SCHEMA", "off"),
        ("MICRO_CHECK_SCHEMA", "off"),
        ("MICRO_REGISTER_TTL", "90"),
        ("MICRO_REGISTER_INTERVAL", "1m30s"),
        ("MICRO_REGISTRY", "memory"),
        ("MICRO_REGISTRY_ADDRESS", "a:1,,b:2"),
        ("MICRO_REGISTRY_DOMAIN", "example.org"),
        ("MICRO_BROKER", "memory"),
        ("MICRO_BROKER_ADDRESS", ":7000"),
        ("MICRO_REGISTRY_GRACE", "5s"),
        ("MICRO_TRANSPORT", "http"),
        ("MICRO_CLIENT", "auto"),
        ("MICRO_CLIENT_REQUEST_TIMEOUT", "1.5s"),
        ("MICRO_CLIENT_RETRIES", "0"),
        ("MICRO_CLIENT_RETRY_BUDGET", "off"),
        ("MICRO_CLIENT_POOL_SIZE", "3"),
        ("MICRO_CLIENT_POOL_TTL", "2m"),
        ("MICRO_SELECTOR", "roundrobin"),
        ("MICRO_CLIENT_SLOW_START", "0s"),
        ("MICRO_ZONE", "eu-1"),
        ("MICRO_OUTLIERS", "off"),
        ("MICRO_HEALTH_CHECK", "grpc"),
        ("MICRO_HEALTH_CHECK_INTERVAL", "3s"),
        ("MICRO_HEALTH_CHECK_TIMEOUT", "200ms"),
        ("MICRO_PROXY", "go.micro.proxy"),
        ("MICRO_ADMIN_ADDRESS", ":8081"),
        ("MICRO_TLS_CERT", "/c.pem"),
        ("MICRO_TLS_KEY", "/k.pem"),
        ("MICRO_TLS_CLIENT_CA", "/clients.pem"),
        ("MICRO_TLS_CA", "/ca.pem"),
        ("MICRO_TLS_CLIENT_CERT", "/me.pem"),
        ("MICRO_TLS_CLIENT_KEY", "/mine.pem"),
        ("MICRO_TLS_FINGERPRINT", &"0a:".repeat(32)[..95]),
        ("MICRO_TLS_INSECURE", "true"),
    ]);
    let settings = parsed.settings;
    assert_eq!(settings.config.as_deref(), Some(file.path()));
    assert_eq!(settings.server_name.as_deref(), Some("greeter"));
    assert_eq!(settings.server_version.as_deref(), Some("1.2.3"));
    assert_eq!(settings.server_id.as_deref(), Some("7"));
    assert_eq!(settings.server_address.as_deref(), Some(":8080"));
    assert_eq!(settings.server_advertise.as_deref(), Some("10.0.0.1:8080"));
    let metadata = [("bare", ""), ("region", "eu"), ("url", "http://a?b=c")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(settings.server_metadata, Some(metadata.into()));
    assert_eq!(settings.server, Some(vec!["mucp".into(), "braid".into()]));
    let origins = vec!["https://app.example".into(), "http://localhost:3000".into()];
    assert_eq!(settings.allowed_origins, Some(origins));
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    assert_eq!(settings.server_connection_age, minutes(30));
    let grace = settings.server_connection_grace;
    assert_eq!(grace, Some(Duration::from_secs(10)));
    assert_eq!(settings.reflection, Some(true));
    assert_eq!(settings.schema, Some(false));
    assert_eq!(settings.check_schema, Some(false));
    assert_eq!(settings.admin_address.as_deref(), Some(":8081"));
    assert_eq!(settings.register_ttl, Some(Duration::from_secs(90)));
    assert_eq!(settings.register_interval, Some(Duration::from_secs(90)));
    assert_eq!(settings.registry.as_deref(), Some("memory"));
    assert_eq!(
        settings.registry_address,
        Some(vec!["a:1".into(), "b:2".into()])
    );
    assert_eq!(settings.registry_domain.as_deref(), Some("example.org"));
    assert_eq!(settings.broker.as_deref(), Some("memory"));
    assert_eq!(settings.broker_address, Some(vec![":7000".into()]));
    assert_eq!(settings.registry_grace, Some(Duration::from_secs(5)));
    assert_eq!(settings.transport.as_deref(), Some("http"));
    assert_eq!(settings.client, Some(vec![]));
    assert_eq!(
        settings.client_request_timeout,
        Some(Duration::from_millis(1500))
    );
    assert_eq!(settings.client_retries, Some(0));
    assert_eq!(settings.client_retry_budget, Some(None));
    assert_eq!(settings.client_pool_size, Some(3));
    assert_eq!(settings.client_pool_ttl, Some(Duration::from_secs(120)));
    assert!(matches!(settings.selector, Some(Strategy::RoundRobin)));
    assert_eq!(settings.client_slow_start, Some(Duration::ZERO));
    assert_eq!(settings.zone.as_deref(), Some("eu-1"));
    assert_eq!(settings.outliers, Some(false));
    assert_eq!(settings.health_check, Some(Some(HealthCheck::grpc())));
    let times = [
        settings.health_check_interval,
        settings.health_check_timeout,
    ];
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!(times, [millis(3_000), millis(200)]);
    assert_eq!(settings.proxy.as_deref(), Some("go.micro.proxy"));
    assert_eq!(settings.tls_cert, Some(PathBuf::from("/c.pem")));
    assert_eq!(settings.tls_key, Some(PathBuf::from("/k.pem")));
    assert_eq!(settings.tls_ca, Some(PathBuf::from("/ca.pem")));
    assert_eq!(settings.tls_client_ca, Some(PathBuf::from("/clients.pem")));
    assert_eq!(settings.tls_client_cert, Some(PathBuf::from("/me.pem")));
    assert_eq!(settings.tls_client_key, Some(PathBuf::from("/mine.pem")));
    assert_eq!(settings.tls_fingerprint, Some([10; 32]));
    assert_eq!(settings.tls_insecure, Some(true));
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    // One more setting: one more line above.
    assert_eq!(parsed.origins.len(), super::table::TABLE.len());
}

#[test]
fn numbers_below_zero_leave_a_setting_alone_as_in_go() {
    let settings = of_env(&[
        ("MICRO_REGISTER_TTL", "-1"),
        ("MICRO_CLIENT_RETRIES", "-1"),
        ("MICRO_CLIENT_POOL_SIZE", "0"),
    ])
    .settings;
    assert_eq!(settings.register_ttl, None);
    assert_eq!(settings.client_retries, None);
    assert_eq!(settings.client_pool_size, None);
}

#[test]
fn a_value_that_makes_no_sense_is_refused_by_name() {
    for (name, value) in [
        ("MICRO_CLIENT_RETRIES", "many"),
        ("MICRO_CLIENT_REQUEST_TIMEOUT", "30"),
        ("MICRO_REGISTER_TTL", "soon"),
        ("MICRO_SELECTOR", "dns"),
        ("MICRO_TLS_INSECURE", "maybe"),
    ] {
        let stop = wrong_env(name, value);
        assert_eq!(stop.code, 2);
        assert!(
            stop.text.contains(name) && stop.text.contains(value),
            "{stop}"
        );
        assert_eq!(Error::from(stop).code(), 400);
    }
}

#[test]
fn durations_are_gos() {
    for (text, nanos) in [
        ("0", 0),
        ("0s", 0),
        ("300ms", 300_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("1µs", 1_000),
        ("1μs", 1_000),
        ("+5s", 5_000_000_000),
        ("1.0000000001s", 1_000_000_000),
        ("0.000000001s", 1),
        ("1.9ns", 1),
        ("0.123456789h", 444_444_440_400),
        ("2540400h10m10.000000000s", 9_145_440_610_000_000_000),
    ] {
        let read = go_duration(text).unwrap_or_else(|| panic!("{text} is a duration"));
        assert_eq!(read.as_nanos(), nanos, "{text}");
    }
    for text in [
        "",
        "3",
        "-",
        "s",
        ".",
        "-.",
        ".s",
        "+.s",
        "1d",
        "1 s",
        "-1s",
        "1s ",
        "3000000h",
        "1.2.3s",
        "9223372036855ms",
        "99999999999999999999s",
        "é",
        "1é",
    ] {
        assert_eq!(go_duration(text), None, "{text}");
    }
}

#[test]
fn unknown_variables_are_told_once_with_the_nearest_name() {
    let warnings = of_env(&[
        ("MICRO_SERVER_ADRESS", ":1"),
        ("MICRO_SOMETHING_ELSE", "1"),
        ("MICRO_STORE", "redis"),
        ("MICRO_SERVER_NAMES_FILE", "/x"),
        ("MICRO_API_SERVICE_HOST", "10.0.0.1"),
        ("MICRO_API_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("OTHER", "1"),
    ])
    .warnings;
    assert_eq!(
        warnings,
        [
            "MICRO_SERVER_ADRESS is not known; did you mean MICRO_SERVER_ADDRESS?",
            "MICRO_SERVER_NAMES_FILE is not known; did you mean MICRO_SERVER_NAME?",
            "MICRO_SOMETHING_ELSE is not known",
            "MICRO_STORE has no effect here",
        ]
    );
}

#[test]
fn a_variable_may_name_a_file_that_holds_the_value() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("id");
    std::fs::write(&path, "hush\n").unwrap();
    let path = path.to_str().unwrap();
    let parsed = of_env(&[("MICRO_SERVER_ID_FILE", path), ("MICRO_TLS_KEY_FILE", path)]);
    assert_eq!(parsed.settings.server_id.as_deref(), Some("hush"));
    assert_eq!(parsed.settings.tls_key.as_deref(), Some(Path::new(path)));
    assert!(parsed.warnings.is_empty(), "{:?}", parsed.warnings);
    let text = parsed.explanation(&BTreeMap::new());
    assert!(
        !text.contains("hush") && text.contains("(hidden)"),
        "{text}"
    );
    let direct = of_env(&[("MICRO_SERVER_ID_FILE", path), ("MICRO_SERVER_ID", "loud")]);
    assert_eq!(direct.settings.server_id.as_deref(), Some("loud"));
    let stop = wrong_env("MICRO_SERVER_ID_FILE", "/there/is/none");
    assert!(stop.text.contains("MICRO_SERVER_ID_FILE"), "{stop}");
}

#[test]
fn an_explanation_says_where_each_value_comes_from() {
    let parsed = of_env(&[("MICRO_CLIENT_RETRIES", "2")]);
    assert_eq!(
        parsed.source("client_retries"),
        Some(&Source::Environment("MICRO_CLIENT_RETRIES".into()))
    );
    let code = BTreeMap::from([
        ("server_name", "greeter".to_owned()),
        ("client_retries", "9".to_owned()),
    ]);
    let text = parsed.explanation(&code);
    let line = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("a line of {name}: {text}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("server_name"), "server_name greeter code");
    assert_eq!(
        line("client_retries"),
        "client_retries 2 environment MICRO_CLIENT_RETRIES"
    );
    assert_eq!(line("register_ttl"), "register_ttl 60 default");

    let parsed = of_env(&[("MICRO_REGISTRY_ADDRESS", "nats://me:hush@a:1,nats://b:2")]);
    let text = parsed.explanation(&code);
    assert!(text.contains("nats://(hidden)@a:1,nats://b:2"), "{text}");
}

#[test]
fn the_local_folder_is_the_users_own() {
    let home = tempfile::tempdir().unwrap();
    let private = home.path().to_path_buf();
    let at = |name: &'static str, value: PathBuf| {
        local_folder_of(move |asked| (asked == name).then(|| value.clone().into()))
    };
    assert_eq!(
        at("XDG_RUNTIME_DIR", private.clone()),
        private.join("micro")
    );
    // What is not there, or no absolute path, is not used.
    assert_ne!(
        at("XDG_RUNTIME_DIR", "here".into()),
        PathBuf::from("here/micro")
    );
    let gone = private.join("gone");
    assert_ne!(at("XDG_RUNTIME_DIR", gone.clone()), gone.join("micro"));
    let none = local_folder_of(|_| None);
    assert!(none.is_absolute());
    let name = none.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("micro"), "{name}");
}

#[cfg(feature = "cli")]
mod cli {
    use super::*;

    const NO_ENV: [(&str, &str); 0] = [];

    fn of_args(args: &[&str]) -> Parsed {
        let args = std::iter::once("greeter").chain(args.iter().copied());
        Settings::parse(args, NO_ENV).unwrap()
    }

    fn stopped(args: &[&str]) -> Stop {
        let args = std::iter::once("greeter").chain(args.iter().copied());
        Settings::parse(args, NO_ENV).unwrap_err()
    }

    #[test]
    fn a_flag_goes_before_a_variable() {
        let env = [("MICRO_SERVER_NAME", "env"), ("MICRO_SERVER_ID", "env")];
        let parsed = Settings::parse(["greeter", "--server_name", "flag"], env).unwrap();
        assert_eq!(parsed.settings.server_name.as_deref(), Some("flag"));
        assert_eq!(parsed.settings.server_id.as_deref(), Some("env"));
        assert_eq!(parsed.source("server_name"), Some(&Source::Flag));
        assert_eq!(parsed.source("registry"), None);
        // An empty one is none.
        let parsed = Settings::parse(["greeter", "--server_name="], env).unwrap();
        assert_eq!(parsed.settings.server_name.as_deref(), Some("env"));
    }

    #[test]
    fn flags_are_written_as_in_go_or_with_dashes() {
        for args in [
            &["--server_address=:1"][..],
            &["--server_address", ":1"],
            &["-server_address", ":1"],
            &["-server_address=:1"],
            &["--server-address", ":1"],
            &["--server_address", ":0", "--server_address", ":1"],
        ] {
            let settings = of_args(args).settings;
            assert_eq!(settings.server_address.as_deref(), Some(":1"), "{args:?}");
        }
        assert_eq!(
            of_args(&["--register_ttl", "-1"]).settings.register_ttl,
            None
        );
        assert_eq!(
            of_args(&["--tls_insecure"]).settings.tls_insecure,
            Some(true)
        );
        assert_eq!(
            of_args(&["--tls_insecure=false"]).settings.tls_insecure,
            Some(false)
        );
    }

    #[test]
    fn lists_are_repeated_or_have_commas() {
        let settings = of_args(&[
            "--server_metadata",
            "a=1,b=2",
            "--server_metadata",
            "c=x=y",
            "--registry_address",
            "a:1",
            "--registry_address",
            "b:2,c:3",
        ])
        .settings;
        let metadata = settings.server_metadata.unwrap();
        let metadata: Vec<_> = metadata.iter().map(|(k, v)| format!("{k}:{v}")).collect();
        assert_eq!(metadata, ["a:1", "b:2", "c:x=y"]);
        assert_eq!(settings.registry_address.unwrap(), ["a:1", "b:2", "c:3"]);
    }

    #[test]
    fn help_has_each_setting_with_its_variable_and_default() {
        for help in ["--help", "-h", "-help"] {
            let stop = stopped(&[help]);
            assert_eq!(stop.code, 0);
            let words: Vec<_> = stop.text.split_whitespace().collect();
            let text = words.join(" ");
            for setting in super::super::table::TABLE {
                for part in [
                    format!("--{}", setting.name),
                    format!("[env: {}]", setting.variable()),
                    format!("[default: {}]", setting.default),
                    format!("{}:", setting.group),
                ] {
                    assert!(text.contains(&part), "{part} in {}", stop.text);
                }
            }
            assert!(text.contains("Usage: greeter"), "{}", stop.text);
        }
    }

    #[test]
    fn an_unknown_flag_is_refused_with_the_nearest_one() {
        let stop = stopped(&["--server_adress", ":1"]);
        assert_eq!(stop.code, 2);
        assert!(stop.text.contains("--server_address"), "{stop}");
        let stop = stopped(&["--client_retries", "many"]);
        assert!(stop.text.contains("--client_retries"), "{stop}");
    }

    #[test]
    fn explain_config_is_told() {
        assert!(of_args(&["--explain-config"]).explain);
    }

    #[derive(clap::Args, Debug)]
    struct Own {
        /// How to greet.
        #[arg(long, short, default_value = "Hello")]
        greeting: String,
        names: Vec<String>,
    }

    #[test]
    fn an_argument_of_the_programs_own_that_is_ours_too_is_told() {
        #[derive(clap::Args, Debug)]
        struct Name {
            #[arg(long = "server-name")]
            _name: Option<String>,
        }
        #[derive(clap::Args, Debug)]
        struct Alias {
            #[arg(long, alias = "explain-config")]
            _why: bool,
        }
        #[derive(clap::Args, Debug)]
        struct Letter {
            #[arg(short = 'h')]
            _host: bool,
        }
        fn clash<T: clap::Args>() -> Stop {
            let parsed = Settings::parse_with::<T, _, _, _, _>(["greeter"], NO_ENV);
            parsed.err().expect("two flags are one")
        }
        for (stop, name) in [
            (clash::<Name>(), "--server-name"),
            (clash::<Alias>(), "--explain-config"),
            (clash::<Letter>(), "-h"),
        ] {
            assert_eq!(stop.code, 2);
            assert!(stop.text.contains(name), "{stop}");
        }
    }

    #[test]
    fn variables_of_the_programs_own_are_known() {
        #[derive(clap::Args, Debug)]
        struct Greeting {
            #[arg(long, env = "MICRO_GREETING")]
            _greeting: Option<String>,
        }
        let env = [("MICRO_GREETING", "Hi"), ("MICRO_GREETINGS", "Hi")];
        let parsed = Settings::parse_with::<Greeting, _, _, _, _>(["greeter"], env);
        let warnings = parsed.unwrap().0.warnings;
        assert_eq!(warnings, ["MICRO_GREETINGS is not known"]);
    }

    #[test]
    fn a_program_has_arguments_of_its_own_beside_ours() {
        let args = [
            "greeter",
            "-g",
            "Hi",
            "--server_id=1",
            "John",
            "--",
            "-server_name",
        ];
        let (parsed, own) = Settings::parse_with::<Own, _, _, _, _>(args, NO_ENV).unwrap();
        assert_eq!(own.greeting, "Hi");
        assert_eq!(own.names, ["John", "-server_name"]);
        assert_eq!(parsed.settings.server_id.as_deref(), Some("1"));
        let stop = Settings::parse_with::<Own, _, _, _, _>(["greeter", "--help"], NO_ENV);
        let text = stop.unwrap_err().text;
        assert!(
            text.contains("--greeting")
                && text.contains("How to greet")
                && text.contains("--server_address"),
            "{text}"
        );
    }
}
