//! pax-gateway: the filter's pure core, and on wasm32 the filter itself. ARCHITECTURE.md is the map.

pub mod account;
pub mod active;
pub mod admit;
#[cfg(any(target_arch = "wasm32", test))]
mod allocator;
pub mod answer;
pub mod answer_headers;
mod answer_keys;
pub mod answer_status;
mod answering;
mod arriving;
#[cfg(target_arch = "wasm32")]
mod ask;
pub mod body_watch;
pub mod bounds;
pub mod bundle;
mod bytes;
#[cfg(target_arch = "wasm32")]
mod callouts;
mod canonical;
pub mod cap;
mod cap_place;
pub mod card;
mod card_prices;
mod charge;
pub mod choice_text;
pub mod clock;
pub mod complaints;
pub mod config;
mod counting;
pub mod debit;
pub mod digest;
pub mod doc;
pub mod document;
pub mod estimate;
pub mod event;
pub mod exchange;
pub mod exchange_id;
#[cfg(all(target_arch = "wasm32", feature = "test-faults"))]
mod faults;
#[cfg(target_arch = "wasm32")]
pub mod filter;
pub mod gate;
pub mod head;
#[cfg(target_arch = "wasm32")]
pub mod host;
pub mod hosts;
pub mod in_flight;
pub mod json;
mod json_text;
mod kept;
pub mod key_refusals;
pub mod ledger_trouble;
pub mod log_line;
pub mod meter;
pub mod metrics;
pub mod models;
pub mod nearest;
pub mod open_bodies;
mod opening;
pub mod outbox;
mod passing;
pub mod pax;
pub mod price;
mod prove;
pub mod provider;
pub mod provider_trouble;
pub mod publish;
pub mod rarely;
pub mod readiness;
mod record;
pub mod refusal;
pub mod refusal_codes;
mod refusal_words;
pub mod reported;
pub mod request;
pub mod request_body;
mod request_keys;
mod request_options;
mod request_reading;
pub mod resolves;
mod ring;
#[cfg(target_arch = "wasm32")]
mod root;
pub mod settle;
mod settle_1;
pub mod shared;
pub mod skeleton;
pub mod sse;
pub mod stopwatch;
pub mod story;
pub mod tally;
pub mod text;
pub mod token_cache;
pub mod usable;
pub mod usage;
mod usage_fields;
#[cfg(target_arch = "wasm32")]
mod vm;
#[cfg(target_arch = "wasm32")]
mod waiting;
#[cfg(target_arch = "wasm32")]
mod watching;
pub mod wire;
#[cfg(target_arch = "wasm32")]
mod worker;
pub mod wrong_path;
