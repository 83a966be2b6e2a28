//! pax-stack.
fn main() {}
