//! pax-standin.
fn main() {}
