//! docs/patroni.md shows operators the very configuration that is tested, with addresses of theirs.

use std::path::Path;

use pax_postgres::patroni::node::{Places, post_init};

#[test]
fn the_page_has_the_files_that_are_tested() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/patroni.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let places = Places {
        name: "db1",
        rest: "10.0.0.11:8008",
        postgres: "10.0.0.11:5433",
        etcd: "10.0.0.11:2379,10.0.0.12:2379,10.0.0.13:2379",
        network: "10.0.0.0/24",
        data: Path::new("/var/lib/postgresql/15/pax"),
        sockets: Path::new("/var/run/postgresql"),
        pgpass: Path::new("/var/lib/postgresql/patroni.pgpass"),
        programs: Path::new("/usr/lib/postgresql/15/bin"),
        post_init: "/bin/sh /etc/patroni/post-init.sh",
    };
    for file in [places.node_yml(), post_init("ledger-password")] {
        assert!(page.contains(&file), "docs/patroni.md has not:\n{file}");
    }
}
