//! A request: its head, its body as it passes, what is known of it then, and what may be rewritten in it.

pub(crate) mod asked_options;
pub mod body;
pub(crate) mod body_fields;
pub mod edits;
pub mod head;
pub mod hosts;
pub(crate) mod keys;
pub mod parsed;
