//! pax-gateway: the filter's pure core, and on wasm32 the filter itself. ARCHITECTURE.md is the map. Ten rooms, one above
//! the other; none imports a higher one:
//!
//! [`base`] words and units · [`dialect`] how providers speak · [`price`] from counts to PAX · [`reading`] from bytes to
//! meaning · [`debit`] from admitted and answered to the frozen debit · [`memory`] what all workers of an Envoy know ·
//! [`call`] one call, as a value · [`told`] what the operator is told · [`worker`] the driver behind the port, and a
//! worker's chores · `wasm` the proxy-wasm side of the port
//!
//! What a call costs under the first card that was published, exactly:
//!
//! ```
//! use pax_gateway::dialect::usage::{Mode, Rules};
//! use pax_gateway::price::bundle::Bundle;
//! use pax_gateway::price::rates::ServedTier;
//!
//! let bundle = Bundle::embedded().map_err(|mistakes| mistakes.to_string())?;
//! let card = bundle.cards().first().ok_or("the bundle is empty")?;
//! let model = &card.models["accounts/fireworks/models/gpt-oss-120b"];
//! let raw = br#"{"prompt_tokens": 1000, "completion_tokens": 200}"#;
//! let read = Rules::OpenAi2.read(raw, Mode::Chat).ok_or("it has no counts")?;
//! let charged = model.charge(&read.usage, read.writes_cost, ServedTier::Standard, &mut |_line| {});
//! assert_eq!(charged.ok_or("it is out of range")?.cost.to_string(), "0.000073490813");
//! # Ok::<(), String>(())
//! ```

pub mod base;
pub mod call;
pub mod debit;
pub mod dialect;
pub mod memory;
pub mod price;
pub mod reading;
pub mod told;
pub mod wasm;
pub mod worker;
