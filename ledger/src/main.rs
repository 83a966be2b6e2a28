//! pax-ledger.
fn main() {}
