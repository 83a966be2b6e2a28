//! What came of a soak: the table, and whether it was as it must be.

use super::audit::{Audit, Difference, Seen};
use super::callers::Heard;
use crate::BenchError;
use crate::report::mib;
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

/// Envoy's memory may grow by so many hundredths in the second half of the calls.
const GROWN_MOST: u64 = 5;

/// All that was counted.
pub struct Outcome<'a> {
    /// What callers and provider have seen.
    pub seen: &'a Seen<'a>,
    /// How many accounts called.
    pub accounts: u64,
    /// At how many connections.
    pub connections: u64,
    /// How often each refusal came.
    pub refused: &'a BTreeMap<String, u64>,
    /// How many calls their callers left, since nothing came.
    pub hung: u64,
    /// How long the calls took.
    pub took: Duration,
    /// How many calls were made, and how many KiB of Envoy were resident then.
    pub memory: &'a [(u64, u64)],
    /// What the entries say.
    pub audit: &'a Audit,
}

impl Outcome<'_> {
    fn heard(&self, heard: Heard) -> usize {
        self.seen.calls.iter().filter(|call| call.heard == heard).count()
    }

    fn answered_by_provider(&self) -> usize {
        let answered = |(number, _): &(u64, _)| self.seen.witness.has_answered(*number);
        (0..).zip(self.seen.calls).filter(answered).count()
    }

    /// The memory at the start, half-way and at the end.
    fn memory(&self) -> [u64; 3] {
        let half = self.seen.plan.calls / 2;
        let at = |sample: Option<&(u64, u64)>| sample.map_or(0, |(_, kib)| *kib);
        let middle = self.memory.iter().find(|(made, _)| *made >= half);
        [at(self.memory.first()), at(middle), at(self.memory.last())]
    }

    fn is_flat(&self) -> bool {
        let [_, half, end] = self.memory();
        end.saturating_sub(half) * 100 <= half * GROWN_MOST
    }

    /// The table, in Markdown.
    pub fn table(&self, is_replayed: bool) -> String {
        let mut out = format!(
            "| {} calls of {} accounts, {} connections | {} s |\n| --- | --- |\n",
            self.seen.calls.len(),
            self.accounts,
            self.connections,
            self.took.as_secs()
        );
        let mut row = |what: &dyn Display, is: &dyn Display| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| {what} | {is} |");
        };
        row(&"workers trapped", &self.seen.traps_ms.len());
        row(&"calls answered whole", &self.heard(Heard::Whole));
        row(&"calls cut", &self.heard(Heard::Cut));
        row(&"of them left by their callers, since nothing came for ten seconds", &self.hung);
        row(&"calls that the provider answered", &self.answered_by_provider());
        for (what, count) in self.refused {
            row(&format_args!("answered {what}"), count);
        }
        row(&"entries", &self.audit.entries);
        row(&"of them charged by another worker (`orphaned`)", &self.audit.orphaned);
        row(&"of them of calls that were cut", &self.audit.cut_with_entry);
        for difference in Difference::ALL {
            row(&difference.name(), &self.audit.count(difference));
        }
        row(&"the ledger's replay", &if is_replayed { "clean" } else { "DIFFERS" });
        let [start, half, end] = self.memory().map(mib);
        let verdict = if self.is_flat() { "flat" } else { "GROWING" };
        row(&"Envoy's memory", &format_args!("{start} before, {half} half-way, {end} at the end: {verdict}"));
        out
    }

    /// Whether the soak is passed.
    ///
    /// # Errors
    /// [`BenchError::Failed`] says what is wrong.
    pub fn verdict(&self) -> Result<(), BenchError> {
        let mut wrong = Vec::new();
        if !self.audit.is_clean() {
            wrong.push("entries and answers differ".to_owned());
        }
        if self.seen.traps_ms.is_empty() {
            wrong.push("no worker trapped: make more calls, or let SOAK_TRAP_S be less".to_owned());
        }
        let whole = self.heard(Heard::Whole);
        if whole * 100 < self.seen.calls.len() * 90 {
            wrong.push(format!("only {whole} of {} calls were answered", self.seen.calls.len()));
        }
        if !self.is_flat() {
            wrong.push("Envoy's memory grows".to_owned());
        }
        if wrong.is_empty() { Ok(()) } else { Err(BenchError::Failed(wrong.join("; "))) }
    }
}
