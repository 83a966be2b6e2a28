//! One way to ask either database. What the store asks seldom is written once, in SQL that both understand; the few
//! places where they differ are in [`Engine`].

mod ask;
mod pool;
mod row;

pub(in crate::store) use ask::{Arg, Ask, On};
pub(in crate::store) use pool::{Engine, Pool, Turn, Tx};
pub(in crate::store) use row::{Row, text, value};
