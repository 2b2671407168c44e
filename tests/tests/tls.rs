//! TLS between this project and unmodified Go Micro: who is trusted, and who is not.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use micro_tests::peers::{Ended, Program, Running};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

fn ours() -> Program {
    Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter")
}

fn braid() -> Program {
    ours().with(&["protocol=braid"])
}

fn go() -> Program {
    Program::go("greeter")
}

/// A CA and a certificate of it for 127.0.0.1, in files.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        Self::with_name("127.0.0.1")
    }

    fn with_name(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &ca).unwrap();
        let put = |file: &str, text: String| fs::write(folder.path().join(file), text).unwrap();
        put("ca.pem", ca.pem());
        put("cert.pem", leaf.pem());
        put("key.pem", key.serialize_pem());
        Self { folder }
    }

    fn flag(&self, flag: &str) -> String {
        let path: &Path = self.folder.path();
        format!("{flag}={}", path.join(format!("{flag}.pem")).display())
    }

    /// Starts a server with the certificate.
    fn serve(&self, program: &Program) -> Running {
        program.serve(&[&self.flag("cert"), &self.flag("key")])
    }
}

fn hello(caller: &Program, server: &Running, flags: &[&str]) -> Ended {
    let address = server.as_flag();
    let mut all = vec!["call=hello", "conn_timeout=3s", &address];
    all.extend(flags);
    caller.run(&all)
}

fn assert_greets(ended: &Ended) {
    assert_eq!(ended.lines, [r#"OK {"msg":"Hello world"}"#], "{ended}");
}

fn assert_fails(ended: &Ended, words: &str) {
    assert_eq!(ended.code, Some(1), "{ended}");
    let error = ended
        .line("ERR ")
        .unwrap_or_else(|| panic!("no error: {ended}"));
    assert!(error.contains(words), "no {words:?}: {ended}");
}

/// Caller and server of each direction.
fn directions() -> [(Program, Program); 7] {
    let grpc = |program: Program| program.with(&["protocol=grpc"]);
    [
        (go(), ours()),
        (ours(), go()),
        (ours(), ours()),
        (braid(), braid()),
        (grpc(go()), grpc(ours())),
        (grpc(ours()), grpc(go())),
        (grpc(ours()), grpc(ours())),
    ]
}

#[test]
fn a_certificate_of_the_named_ca_is_accepted() {
    let certificates = Certificates::new();
    for (caller, server) in directions() {
        let server = certificates.serve(&server);
        let ca = certificates.flag("ca");
        assert_greets(&hello(&caller, &server, &[&ca]));
        // Streams too.
        let sum = caller.run(&[&server.as_flag(), &ca, "call=sum", "arg=2"]);
        assert_eq!(sum.lines.len(), 2, "{sum}");
        assert!(sum.is_ok(), "{sum}");
    }
}

#[test]
fn a_certificate_of_an_unknown_ca_is_refused() {
    let (known, unknown) = (Certificates::new(), Certificates::new());
    for (caller, server) in directions() {
        let server = unknown.serve(&server);
        let ended = hello(&caller, &server, &[&known.flag("ca")]);
        assert_fails(&ended, "tls: ");
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let certificates = Certificates::with_name("elsewhere.example");
    for (caller, server) in directions() {
        let server = certificates.serve(&server);
        let ended = hello(&caller, &server, &[&certificates.flag("ca")]);
        assert_fails(&ended, "tls: ");
    }
}

#[test]
fn the_certificate_that_go_micro_makes_for_itself_is_accepted_only_insecurely() {
    let server = go().serve(&["secure"]);
    let other = Certificates::new();
    assert_fails(&hello(&ours(), &server, &[&other.flag("ca")]), "tls: ");
    assert_greets(&hello(&ours(), &server, &["insecure"]));
}

#[test]
fn a_plaintext_caller_of_a_tls_port_gets_an_error() {
    let certificates = Certificates::new();
    for (caller, server) in directions() {
        let server = certificates.serve(&server);
        assert_fails(&hello(&caller, &server, &[]), "go.micro.client");
    }
}

#[test]
fn a_tls_caller_of_a_plaintext_port_gets_an_error() {
    for (caller, server) in directions() {
        let server = server.serve(&[]);
        assert_fails(&hello(&caller, &server, &["insecure"]), "go.micro.client");
    }
}
