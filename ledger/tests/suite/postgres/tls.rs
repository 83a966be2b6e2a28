//! TLS to PostgreSQL.

use std::path::Path;
use std::process::Command;

use pax_ledger::store::{Location, Open, Store};
use pax_postgres::server::Server;

use crate::common::{Folder, program};

/// A certificate for `localhost` that signs itself, and its key.
fn certificate(folder: &Path, name: &str) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    openssl.args(["-nodes", "-days", "30", "-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
    let done = openssl.output().expect("openssl, which ca-certificates brings");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn a_url_can_ask_for_tls_and_for_the_host_that_its_certificate_names() {
    let folder = Folder::of_file();
    certificate(&folder.0, "server");
    certificate(&folder.0, "other");
    let server = Server::start(&[]);
    let plain = server.database();
    let with = |host: &str, mode: &str, root: &str| {
        let root = folder.0.join(format!("{root}.crt"));
        let at = plain.replace("127.0.0.1", host);
        Location::parse(&format!("{at}?sslmode={mode}&sslrootcert={}", root.display())).unwrap()
    };
    let opened = async |location: &Location| match Store::open(location, Open::Create).await {
        Ok(store) => {
            store.close().await;
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    };
    let refused = opened(&with("localhost", "require", "server")).await.unwrap_err();
    assert!(refused.contains("TLS") || refused.contains("tls"), "{refused}");
    server.use_tls(&folder.0.join("server.crt"), &folder.0.join("server.key"));
    opened(&with("localhost", "verify-full", "server")).await.unwrap();
    let is_encrypted = "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE ssl AND application_name = 'pax-ledger'";
    let store = Store::open(&with("localhost", "verify-full", "server"), Open::Existing).await.unwrap();
    store.epoch().await.unwrap();
    assert_eq!(server.run("postgres", is_encrypted), "t");
    store.close().await;
    // A machine that trusts nobody else.
    let verified = plain.replace("127.0.0.1", "localhost") + "?sslmode=verify-full";
    for (trusted, code) in [("server", 0), ("other", 1)] {
        let mut program = program(Path::new(&verified));
        program.env("SSL_CERT_FILE", folder.0.join(format!("{trusted}.crt"))).args(["account", "list"]);
        assert_eq!(program.output().unwrap().status.code(), Some(code), "{trusted}");
    }
    // Another host's certificate, and a certificate that nobody vouches for.
    for (host, root) in [("127.0.0.1", "server"), ("localhost", "other")] {
        let refused = opened(&with(host, "verify-full", root)).await.unwrap_err();
        assert!(refused.contains("certificate"), "{refused}");
    }
}
