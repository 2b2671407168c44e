//! Consul chosen by name: `--registry consul` and Consul's own variables.

use std::fs;

use micro_runtime::Service;
use micro_runtime::registry::Consul;

use crate::agent::{Agent, Answer, Asked};

/// What a service asks that is started with `flags` and `env`, and stopped.
async fn asked(agent: &Agent, flags: &[&str], env: &[(&str, &str)]) -> Vec<Asked> {
    let args = [
        "program",
        "--registry=consul",
        "--server_address=127.0.0.1:0",
    ];
    let service = Service::new("s")
        .linger(std::time::Duration::ZERO)
        .init_from(args.iter().chain(flags), env.iter().copied())
        .unwrap();
    let running = service.start().await.unwrap();
    assert_eq!(running.entry().nodes[0].metadata["registry"], "consul");
    running.stop().await.unwrap();
    agent.asked()
}

async fn refused(env: &[(&str, &str)]) -> String {
    let flags = ["program", "--registry", "consul"];
    let service = Service::new("s").init_from(flags, env.iter().copied());
    let error = service.unwrap().start().await.unwrap_err();
    assert_eq!(error.code(), 400, "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_service_registers_passes_and_leaves() {
    let agent = Agent::willing().await;
    let address = format!("--registry_address={}", agent.address);
    let asked = asked(&agent, &[&address], &[]).await;
    let lines: Vec<_> = asked.iter().map(Asked::line).collect();
    let id = asked[0].json()["ID"].as_str().unwrap().to_owned();
    assert_eq!(
        lines,
        [
            "PUT /v1/agent/service/register".to_owned(),
            format!("PUT /v1/agent/check/pass/service:{id}?note="),
            format!("PUT /v1/agent/service/deregister/{id}"),
        ]
    );
    let check = &asked[0].json()["Check"];
    assert_eq!(
        (&check["TTL"], &check["DeregisterCriticalServiceAfter"]),
        (&"1m0s".into(), &"1m5s".into())
    );
}

#[tokio::test]
async fn consuls_own_variables_are_read() {
    let agent = Agent::willing().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "from-file\n").unwrap();
    let path = file.path().to_str().unwrap();
    for (env, token, namespace) in [
        (vec![("CONSUL_HTTP_TOKEN", "t")], Some("t"), None),
        (vec![("CONSUL_HTTP_TOKEN", "")], None, None),
        // As Consul's programs do.
        (
            vec![("CONSUL_HTTP_TOKEN_FILE", path), ("CONSUL_HTTP_TOKEN", "t")],
            Some("from-file"),
            None,
        ),
        (vec![("CONSUL_NAMESPACE", "team")], None, Some("team")),
        (
            vec![("CONSUL_HTTP_SSL", "false"), ("CONSUL_CACERT", "/nowhere")],
            None,
            None,
        ),
    ] {
        let env: Vec<_> = env
            .into_iter()
            .chain([("CONSUL_HTTP_ADDR", &*agent.address)])
            .collect();
        for asked in asked(&agent, &[], &env).await {
            assert_eq!(asked.header("x-consul-token"), token, "{env:?}");
            assert_eq!(asked.query("ns"), namespace, "{env:?}");
        }
    }
    let auth = [
        ("CONSUL_HTTP_ADDR", &*agent.address),
        ("CONSUL_HTTP_AUTH", "user:pa:ss"),
    ];
    let asked = asked(&agent, &[], &auth).await;
    assert_eq!(
        asked[0].header("authorization"),
        Some("Basic dXNlcjpwYTpzcw==")
    );
}

#[tokio::test]
async fn the_flag_goes_before_consuls_own_variable() {
    let (named, other) = (Agent::willing().await, Agent::willing().await);
    let flag = format!("--registry_address=http://{}", named.address);
    let env = [("CONSUL_HTTP_ADDR", &*other.address)];
    assert_eq!(asked(&named, &[&flag], &env).await.len(), 3);
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn what_is_wrong_fails_the_start_before_anything_is_asked() {
    for (env, words) in [
        (
            ("CONSUL_HTTP_TOKEN_FILE", "/nowhere/token"),
            "/nowhere/token",
        ),
        (("CONSUL_HTTP_SSL", "maybe"), "CONSUL_HTTP_SSL"),
        (("CONSUL_HTTP_ADDR", "unix:///run/consul.sock"), "unix://"),
        (
            ("CONSUL_HTTP_SSL", "true"),
            if cfg!(feature = "tls") {
                "CONSUL_CACERT"
            } else {
                "feature tls"
            },
        ),
        (
            ("CONSUL_HTTP_ADDR", "https://consul.local"),
            if cfg!(feature = "tls") {
                "CONSUL_CACERT"
            } else {
                "feature tls"
            },
        ),
    ] {
        let told = refused(&[env]).await;
        assert!(told.contains(words), "{env:?}: {told}");
    }
}

#[tokio::test]
async fn a_registry_that_refuses_fails_the_start_and_says_why() {
    let agent = Agent::start(|_| Answer::Status(403, 1, "Permission denied".into())).await;
    let env = [
        ("CONSUL_HTTP_ADDR", &*agent.address),
        ("CONSUL_HTTP_TOKEN", "s3cret"),
    ];
    let service = Service::new("s")
        .init_from(["program", "--registry=consul"], env)
        .unwrap();
    let error = service.start().await.unwrap_err().to_string();
    assert!(
        error.contains("Permission denied") && error.contains(&agent.address),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn secrets_are_not_explained() {
    let env = [
        ("CONSUL_HTTP_TOKEN", "s3cret"),
        ("CONSUL_HTTP_AUTH", "user:s3cret"),
    ];
    let flags = ["program", "--registry=consul", "--explain-config"];
    let explained = Service::new("s")
        .init_from(flags, env)
        .unwrap_err()
        .to_string();
    assert!(
        explained.contains("consul") && !explained.contains("s3cret"),
        "{explained}"
    );
    let shown = format!(
        "{:?}",
        Service::new("s").init_from(&flags[..2], env).unwrap()
    );
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_registry_in_code_needs_no_setting() {
    let agent = Agent::willing().await;
    let registry: Consul = agent.registry();
    let service = Service::new("s").registry(registry).address("127.0.0.1:0");
    service.start().await.unwrap().stop().await.unwrap();
    assert_eq!(agent.asked().len(), 3);
}
