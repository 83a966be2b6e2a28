//! The ledger's entries against what callers and provider have seen.

use super::accounts;
use super::callers::{self, Call, Heard, Plan};
use crate::BenchError;
use crate::upstream::Witness;
use crate::work::Kind;
use serde::Deserialize;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// So long after a trap a call may still be cut by it: Envoy loads the module anew after a second, and compiles it, which
/// takes seconds on a busy machine.
const RELOAD_MS: u32 = 5_000;
/// So many differences are told in words; the others are counted.
const TOLD_MOST: usize = 20;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// A call that must have an entry has none.
    Missing,
    /// A call has more than one.
    Doubled,
    /// An entry has another cost, exchange, account or ending than its call.
    Other,
    /// An entry belongs to a call that was refused, or never made.
    Unasked,
    /// A call was cut when no worker trapped.
    Unexplained,
}

impl Difference {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Missing, Self::Doubled, Self::Other, Self::Unasked, Self::Unexplained];

    /// In a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "calls without the entry that they must have",
            Self::Doubled => "calls with a second entry",
            Self::Other => "entries with another cost, exchange, account or ending than their answers",
            Self::Unasked => "entries of calls that were refused or never made",
            Self::Unexplained => "calls that were cut although no worker trapped",
        }
    }
}

/// What the entries say.
#[derive(Debug, Default)]
pub struct Audit {
    /// How many entries there are.
    pub entries: u64,
    /// How many of them another worker charged for a dead one.
    pub orphaned: u64,
    /// How many calls were cut and have an entry.
    pub cut_with_entry: u64,
    differences: Vec<Difference>,
    told: Vec<String>,
}

impl Audit {
    fn differs(&mut self, difference: Difference, what: fmt::Arguments<'_>) {
        self.differences.push(difference);
        if self.told.len() < TOLD_MOST {
            self.told.push(what.to_string());
        }
    }

    /// How many differences there are of a kind.
    pub fn count(&self, difference: Difference) -> usize {
        self.differences.iter().filter(|it| **it == difference).count()
    }

    /// Whether nothing differs.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    /// The first differences, in words.
    pub fn told(&self) -> &[String] {
        &self.told
    }
}

/// What callers and provider have seen.
pub struct Seen<'a> {
    /// Who called what.
    pub plan: &'a Plan,
    /// Every call, in the order of the numbers.
    pub calls: &'a [Call],
    /// When calls that made a worker trap began and ended.
    pub traps_ms: &'a [[u32; 2]],
    /// What the provider has answered.
    pub witness: &'a Witness,
}

/// An entry, as the ledger prints it.
#[derive(Deserialize)]
pub struct Entry {
    exchange_id: String,
    account: String,
    intent_id: Option<String>,
    ending: String,
    cost_pax: String,
}

/// Reads all entries of a database, and compares.
///
/// # Errors
/// [`BenchError`] when they cannot be read.
pub fn of_database(seen: &Seen<'_>, program: &Path, database: &Path) -> Result<Audit, BenchError> {
    let mut command = Command::new(program);
    let command =
        command.arg("--db").arg(database).args(["entries", "--kind", "debit"]).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(BenchError::system("list the entries"))?;
    let lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    let entries = lines.map(|line| -> Result<Entry, BenchError> {
        let line = line.map_err(BenchError::system("read the entries"))?;
        serde_json::from_str(&line)
            .map_err(|error| BenchError::Failed(format!("an entry is unreadable: {error}")))
    });
    let audit = compare(seen, entries)?;
    let status = child.wait().map_err(BenchError::system("list the entries"))?;
    match status.success() {
        true => Ok(audit),
        false => Err(BenchError::Failed(format!("the ledger does not list its entries: {status}"))),
    }
}

fn compare(
    seen: &Seen<'_>,
    entries: impl Iterator<Item = Result<Entry, BenchError>>,
) -> Result<Audit, BenchError> {
    let mut audit = Audit::default();
    let mut has_entry = vec![false; seen.calls.len()];
    for entry in entries {
        let entry = entry?;
        audit.entries += 1;
        audit.orphaned += u64::from(entry.ending == "orphaned");
        let number = entry.intent_id.as_deref().and_then(|number| number.parse::<usize>().ok());
        let call =
            number.and_then(|number| Some((number, seen.calls.get(number)?, has_entry.get_mut(number)?)));
        let Some((number, call, has)) = call else {
            audit.differs(Difference::Unasked, format_args!("{} is nobody's call", entry.exchange_id));
            continue;
        };
        if std::mem::replace(has, true) {
            audit.differs(Difference::Doubled, format_args!("call {number} has {} too", entry.exchange_id));
            continue;
        }
        check(&mut audit, seen.plan, number, call, &entry);
    }
    for ((number, call), has) in (0..).zip(seen.calls).zip(&has_entry) {
        let must =
            call.heard == Heard::Whole || call.heard == Heard::Cut && seen.witness.has_answered(number);
        if must && !has {
            audit.differs(Difference::Missing, format_args!("call {number} has no entry: {call:?}"));
        }
        if call.heard == Heard::Cut {
            audit.cut_with_entry += u64::from(*has);
            let by = |trap: &&[u32; 2]| call.took_ms[0] <= trap[1] + RELOAD_MS && trap[0] <= call.took_ms[1];
            if !seen.traps_ms.iter().any(|trap| by(&trap)) {
                audit.differs(Difference::Unexplained, format_args!("call {number} was cut: {call:?}"));
            }
        }
    }
    Ok(audit)
}

/// An entry against its call.
fn check(audit: &mut Audit, plan: &Plan, number: usize, call: &Call, entry: &Entry) {
    let id = &entry.exchange_id;
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    match call.heard {
        Heard::Never | Heard::Refused => {
            return audit
                .differs(Difference::Unasked, format_args!("call {number} was refused and has {id}"));
        }
        Heard::Whole if entry.ending != "complete" => {
            let ending = &entry.ending;
            audit.differs(Difference::Other, format_args!("call {number} was answered; {id} is {ending}"));
        }
        Heard::Whole if call.cost.is_none() && Plan::kind(number) == Kind::Json => {
            audit.differs(Difference::Other, format_args!("call {number} was not told its cost"));
        }
        Heard::Whole | Heard::Cut => {}
    }
    if entry.account != accounts::name(plan.account(number)) {
        let account = &entry.account;
        audit.differs(Difference::Other, format_args!("call {number} is not of {account}, as {id} is"));
    }
    if call.exchange.is_some() && call.exchange != callers::exchange(id) {
        audit.differs(Difference::Other, format_args!("call {number} was told another exchange than {id}"));
    }
    if call.cost.is_some() && call.cost != callers::picopax(&entry.cost_pax) {
        let (is, told) = (&entry.cost_pax, call.cost);
        audit.differs(
            Difference::Other,
            format_args!("{id} costs {is}, and the caller was told {told:?} picopax"),
        );
    }
}

#[cfg(test)]
#[path = "audit_test.rs"]
mod tests;
