//! A provider's answer: which reader its bytes need, what they tell, and what of them never reaches the
//! caller.

pub mod choice_text;
pub mod document;
pub(crate) mod event_data;
pub mod headers;
pub(crate) mod keys;
pub(crate) mod passing;
pub mod reported;
pub mod said;
pub mod status;
pub mod stream;
pub mod template;
