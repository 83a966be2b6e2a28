//! Every mistake of every card, with file, line and path; and what can be read but looks wrong.
//!
//! [`Bundle::load`] judges, as in the filter. It gets the draft as if that were published, so that a draft
//! which passes can be published unchanged.

use std::collections::BTreeSet;
use std::fmt;

use pax_gateway::base::clock::Moment;
use pax_gateway::base::strict_json::Mistake;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::RateCard;
use pax_gateway::price::card_file::{LOCK, name_of, version_of};

use crate::decimal::dollars;
use crate::folder::{CardFile, Folder, lock_entry};
use crate::order::{self, Dated};
use crate::prices::{self, Which};
use crate::spans::{self, Places};

/// No price per million tokens is above this, in 10⁻¹² US dollars: the dearest there is has two digits less.
const ABSURD_PICODOLLARS: u128 = 10_000 * 1_000_000_000_000;
/// A price that changes by more than this factor is more likely a slipped digit than a new price.
const ABSURD_FACTOR: u128 = 20;

/// How bad it is. Ordered: the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The gateway would not take it, or it breaks what the ledger relies on.
    Mistake,
    /// It can be read, but is probably not what was meant.
    Warning,
    /// For information.
    Note,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The file in the folder; empty if it is about the folder.
    pub file: String,
    /// The line, from 1; 0 if there is none.
    pub line: usize,
    /// The path of the value in the file.
    pub path: String,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.level {
            Level::Mistake => "",
            Level::Warning => "warning: ",
            Level::Note => "note: ",
        })?;
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if self.line > 0 {
                write!(f, ":{}", self.line)?;
            }
            f.write_str(": ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)
    }
}

/// What to check against, beside the cards themselves.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The providers that the gateway knows, if they are known here.
    pub providers: Option<BTreeSet<String>>,
    /// The LOCK of what was published already: nothing of it may be gone.
    pub published: Option<String>,
    /// The time.
    pub now: Moment,
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The worst first, then by file and line.
    pub findings: Vec<Finding>,
    /// The bundle with the draft as its last card, if there is no mistake.
    pub bundle: Option<Bundle>,
}

impl Checked {
    /// How many findings have a level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}

/// Checks the folder.
#[must_use]
pub fn check(folder: &Folder, rules: &Rules) -> Checked {
    let mut findings = Vec::new();
    let files: Vec<(&str, &str)> =
        folder.cards.iter().map(|card| (card.name.as_str(), card.text.as_str())).collect();
    let draft = folder.draft();
    let lock = draft.map_or_else(|| folder.lock.clone(), |draft| with_line(&folder.lock, &lock_entry(draft)));
    let gaps = gaps(folder);
    let bundle = match Bundle::load(&files, &lock) {
        Ok(bundle) => Some(bundle),
        Err(mistakes) => {
            // Gaps are named below, and cards that cannot be read were named above.
            let is_told = |m: &Mistake| {
                let none = m.what == "the bundle has no card" && !files.is_empty();
                m.path.is_empty() && (none || m.what.starts_with("version ") && !gaps.is_empty())
            };
            let told = mistakes.0.iter().filter(|mistake| !is_told(mistake));
            findings.extend(told.map(|mistake| place(folder, mistake)));
            None
        }
    };
    findings.extend(gaps);
    let dated = order::dated(folder);
    findings.extend(dates(&dated, draft, rules.now));
    findings.extend(rules.published.iter().flat_map(|published| unpublished(folder, published)));
    findings.extend(rules.providers.iter().flat_map(|known| unknown_providers(folder, known, rules.now)));
    for card in &folder.cards {
        findings.extend(absurd(replaced(&dated, card), card));
    }
    if let Some(draft) = draft {
        let what = "is a draft, not in LOCK: `pax-ratecard publish` locks it";
        findings.push(finding(Level::Note, &draft.name, 0, "", what));
    }
    findings.sort_by(|a, b| (a.level, &a.file, a.line).cmp(&(b.level, &b.file, b.line)));
    let is_good = !findings.iter().any(|finding| finding.level == Level::Mistake);
    Checked { findings, bundle: bundle.filter(|_| is_good) }
}

/// A text with one more line, even if the last line has no line break.
#[must_use]
pub fn with_line(text: &str, line: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}{line}")
}

fn finding(level: Level, file: &str, line: usize, path: &str, what: impl Into<String>) -> Finding {
    Finding { level, file: file.to_owned(), line, path: path.to_owned(), what: what.into() }
}

/// Finds the file and line of a mistake of the bundle, whose path begins with the file.
fn place(folder: &Folder, mistake: &Mistake) -> Finding {
    let Mistake { path, what } = mistake;
    if let Some(line) = path.strip_prefix("LOCK:") {
        return finding(Level::Mistake, LOCK, line.parse().unwrap_or(0), "", what);
    }
    for card in &folder.cards {
        let Some(rest) = path.strip_prefix(&card.name) else { continue };
        if let Some(path) = rest.strip_prefix(": ") {
            let at = Places::of(&card.text).find(path, what);
            return finding(Level::Mistake, &card.name, spans::line(&card.text, at), path, what);
        }
        if rest.is_empty() {
            return finding(Level::Mistake, &card.name, whole_file_line(card, what), "", said(what));
        }
    }
    // A card that is locked and missing is named at its line of LOCK.
    match folder.lock_line(path) {
        Some(line) => finding(Level::Mistake, LOCK, line, "", format!("{path} {what}")),
        None => finding(Level::Mistake, "", 0, path, what),
    }
}

/// The line of a mistake about a whole file: the version's line if the version differs from the file's name,
/// else the line that the parser names, else the first.
fn whole_file_line(card: &CardFile, what: &str) -> usize {
    let after = |mark: &str| {
        let rest = what.split_once(mark)?.1;
        rest.split_once(' ').map_or(rest, |(number, _)| number).parse().ok()
    };
    if what.starts_with("has rate_table_v") {
        return spans::line(&card.text, Places::of(&card.text).find("rate_table_v", ""));
    }
    after("at line ").unwrap_or(1)
}

/// The mistake as the operator reads it here: this program locks cards, and no other command is needed.
fn said(what: &str) -> &str {
    if what.starts_with("is not locked") {
        return "is not in LOCK, and only the last card can be a draft: publish one before the next is begun";
    }
    what
}

/// Versions that are neither there nor locked, below the highest.
fn gaps(folder: &Folder) -> Vec<Finding> {
    let locked = folder.lock.lines().filter_map(|line| version_of(line.split_once("  ")?.1));
    let known: BTreeSet<u32> = folder.cards.iter().filter_map(|card| card.version).chain(locked).collect();
    let mut gaps = Vec::new();
    let mut due: u32 = 1;
    for version in known {
        if due < version {
            let missing = if due + 1 == version {
                format!("version {due} is missing")
            } else {
                format!("versions {due} to {} are missing", version - 1)
            };
            let what = format!("{missing}: versions follow each other from 1");
            gaps.push(finding(Level::Mistake, &name_of(version), 0, "", what));
        }
        due = version.saturating_add(1);
    }
    gaps
}

/// Cards that the last one overtakes. A draft may overtake cards that have not begun, since publishing it
/// publishes them again. It may not overtake cards that have begun: calls since then keep their price.
fn dates(dated: &[Dated<'_>], draft: Option<&CardFile>, now: Moment) -> Vec<Finding> {
    let mut found = Vec::new();
    for Dated { card, begins } in order::overtaken(dated) {
        let Some(last) = dated.last() else { continue };
        let (level, of, what) = match draft {
            Some(draft) if begins <= now => {
                (Level::Mistake, draft, format!("goes backwards: {} is in force from {begins}", card.name))
            }
            Some(draft) => {
                let what = format!(
                    "begins before {} does, at {begins}: `pax-ratecard publish` publishes that one again behind it",
                    card.name
                );
                (Level::Note, draft, what)
            }
            None => {
                let (stem, last) = (card.name.trim_end_matches(".json"), &last.card.name);
                let what = format!(
                    "never comes into force: {last} has a higher version and begins before it. `pax-ratecard new --from \
                     {stem} --effective {begins}` starts it again"
                );
                (Level::Warning, card, what)
            }
        };
        found.push(at_path(level, of, "effective_from", what));
    }
    found
}

/// The card that was in force when this one began.
fn replaced<'a>(dated: &[Dated<'a>], card: &CardFile) -> Option<&'a CardFile> {
    let at = dated.iter().position(|other| other.card.name == card.name)?;
    let (begins, earlier) = (dated.get(at)?.begins, dated.get(..at)?);
    order::in_force(earlier, begins).or(earlier.last().copied()).map(|before| before.card)
}

/// Something found at a path of a card, or at the nearest path above it that is there.
pub(crate) fn at_path(level: Level, card: &CardFile, path: &str, what: impl Into<String>) -> Finding {
    let line = spans::line(&card.text, Places::of(&card.text).find(path, ""));
    finding(level, &card.name, line, path, what)
}

/// Lines of the published LOCK that this LOCK no longer has.
fn unpublished(folder: &Folder, published: &str) -> Vec<Finding> {
    let mut gone = Vec::new();
    for line in published.lines().filter(|line| !line.is_empty()) {
        if !folder.lock.lines().any(|kept| kept == line) {
            let name = line.split_once("  ").map_or(line, |(_, name)| name);
            let what =
                format!("{name} was published with another hash, or is gone: a published card never changes");
            gone.push(finding(Level::Mistake, LOCK, folder.lock_line(name).unwrap_or(0), "", what));
        }
    }
    gone
}

/// Providers that the gateway does not know, in the cards that are or will be in force. Older cards may name
/// providers that were taken out since.
fn unknown_providers(folder: &Folder, known: &BTreeSet<String>, now: Moment) -> Vec<Finding> {
    let mut found = Vec::new();
    let moment = |card: &CardFile| RateCard::parse(&card.text).ok().map(|card| card.effective_from);
    let first = folder.cards.iter().rposition(|card| moment(card).is_some_and(|from| from <= now));
    for card in folder.cards.iter().skip(first.unwrap_or(0)) {
        let text = spans::read(&card.text);
        let models = text.as_ref().and_then(|card| card.get("models"));
        for model in models.map(spans::Value::members).unwrap_or_default() {
            let provider = model.value.get("provider").and_then(spans::Value::text);
            if let Some(provider) = provider.filter(|name| !name.is_empty() && !known.contains(*name)) {
                let path = pax_gateway::base::strict_json::join("models", &model.key) + ".provider";
                let all: Vec<&str> = known.iter().map(String::as_str).collect();
                let what =
                    format!("{provider:?} is no provider of the gateway; known are: {}", all.join(", "));
                found.push(at_path(Level::Mistake, card, &path, what));
            }
        }
    }
    found
}

/// Prices that the gateway's reader takes, but that are hardly meant.
fn absurd(before: Option<&CardFile>, card: &CardFile) -> Vec<Finding> {
    let before = before.map(|before| (before.name.as_str(), prices::of_card(&before.text)));
    let places = Places::of(&card.text);
    let mut found = Vec::new();
    for (id, prices) in prices::of_card(&card.text) {
        for (which, price) in &prices {
            let mut warn = |what: String| {
                let line = spans::line(&card.text, places.find(&price.path, ""));
                found.push(finding(Level::Warning, &card.name, line, &price.path, what));
            };
            let now = price.usd.picodollars();
            if now > ABSURD_PICODOLLARS && *which != Which::Minimum {
                warn(format!(
                    "{} US dollars per million tokens: is it the price of so many?",
                    dollars(price.usd)
                ));
            }
            let old = before.as_ref().and_then(|(name, models)| Some((name, models.get(&id)?.get(which)?)));
            let Some((name, old)) = old else { continue };
            let then = old.usd.picodollars();
            // A zero is a mistake already.
            let jumps = |a: u128, b: u128| b > 0 && a > b.saturating_mul(ABSURD_FACTOR);
            if jumps(now, then) || jumps(then, now) {
                let (old, new) = (dollars(old.usd), dollars(price.usd));
                warn(format!(
                    "{new} is more than {ABSURD_FACTOR} times apart from {old} in {name}: is it right?"
                ));
            }
        }
    }
    found
}
