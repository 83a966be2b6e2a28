//! Migrations are embedded: a new one must rebuild the ledger.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
