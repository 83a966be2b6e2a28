//! JSON that is pushed in pieces, cut anywhere: the reader, and the inside of its strings.

pub mod reader;
pub(crate) mod text;
