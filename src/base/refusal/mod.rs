//! Every way to say no: the refusals, their codes, their words, and how they are written for the caller.

pub mod codes;
pub mod nearest;
pub mod refusals;
pub mod request_error;
pub(crate) mod shape;
pub mod unready;
pub(crate) mod words;
pub mod wrong_path;
