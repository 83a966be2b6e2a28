//! Helpers of the tests of the whole: one stack with a stand-in provider, an HTTP client that hides nothing,
//! and two ways to compute a price.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod calls_log;
pub mod http;
pub mod load;
pub mod native;
pub mod prices;
pub mod providers;
pub mod world;

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A case by its name; it fails by a panic, as any test does.
pub fn case(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || match catch_unwind(AssertUnwindSafe(run)) {
        Ok(()) => Ok(()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Failed::from(text.unwrap_or("panicked").to_owned()))
        }
    })
}

/// Runs all cases, one after another: they share one stack.
pub fn run(cases: Vec<Trial>) -> Conclusion {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, cases)
}
