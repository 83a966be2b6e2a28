//! What can be wrong with a request's body.

use crate::base::json::reader::JsonError;

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Not JSON, or JSON that ends early.
    NotJson(JsonError),
    /// Not an object.
    NotAnObject,
    /// A key that matters occurs twice in one object.
    Twice(&'static str),
    /// A key differs only in case from one that matters.
    Spelling(&'static str),
    /// A value has the wrong type.
    WrongType {
        /// Which key.
        key: &'static str,
        /// What it must be.
        must_be: &'static str,
    },
    /// No `model`, or an empty one.
    MissingModel,
    /// Options that neither the card prices nor the operator lets pass.
    Unpriced {
        /// Their names, in the order of the body.
        names: Vec<String>,
        /// The provider that would serve the call.
        provider: String,
    },
}
