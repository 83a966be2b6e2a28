//! PostgreSQL for tests: Debian's own, started in a folder of its own, beside whatever else runs on the machine.

mod machine;
pub mod patroni;
pub mod proxy;
pub mod server;
