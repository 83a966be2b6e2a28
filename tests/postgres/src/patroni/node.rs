//! The files of one node. docs/patroni.md shows operators the same.

use std::path::Path;

/// What differs between nodes and places.
#[derive(Debug)]
pub struct Places<'a> {
    /// What the others call it.
    pub name: &'a str,
    /// Where its Patroni answers.
    pub rest: &'a str,
    /// Where its PostgreSQL answers.
    pub postgres: &'a str,
    /// Where etcd is: all its members.
    pub etcd: &'a str,
    /// Whose connections are taken.
    pub network: &'a str,
    /// PostgreSQL's data.
    pub data: &'a Path,
    /// Its local sockets.
    pub sockets: &'a Path,
    /// A file of Patroni's own.
    pub pgpass: &'a Path,
    /// PostgreSQL's programs.
    pub programs: &'a Path,
    /// What makes the ledger's user and database.
    pub post_init: &'a str,
}

impl Places<'_> {
    /// Patroni's configuration.
    pub fn node_yml(&self) -> String {
        let places = [
            ("NODE_NAME", self.name.to_owned()),
            ("REST_ADDRESS", self.rest.to_owned()),
            ("POSTGRES_ADDRESS", self.postgres.to_owned()),
            ("ETCD_ADDRESSES", self.etcd.to_owned()),
            ("NETWORK", self.network.to_owned()),
            ("DATA_DIR", self.data.display().to_string()),
            ("SOCKET_DIR", self.sockets.display().to_string()),
            ("PGPASS_FILE", self.pgpass.display().to_string()),
            ("BIN_DIR", self.programs.display().to_string()),
            ("POST_INIT", self.post_init.to_owned()),
            ("SUPERUSER_PASSWORD", "superuser-password".to_owned()),
            ("REPLICATION_PASSWORD", "replication-password".to_owned()),
        ];
        let fill = |text: String, (place, value): (&str, String)| text.replace(place, &value);
        places.into_iter().fold(include_str!("node.yml").to_owned(), fill)
    }
}

/// What Patroni runs once, with the password of the ledger's user.
pub fn post_init(password: &str) -> String {
    include_str!("post-init.sh").replace("LEDGER_PASSWORD", password)
}
