//! Explains in plain words what became of a request that has no entry, or none yet, from its line of the calls
//! log (envoy/README.md).

mod line;
mod search;
pub mod words;

pub use line::Line;
pub use search::{Found, Looked, search};

use pax_gateway::base::pax::Pax;

use crate::book::Sum;
use crate::explain::{on_one_line, row};
use crate::store::QuarantinedLine;

/// The values of the line's `outcome`, and what each means.
pub const OUTCOMES: [(&str, &str); 7] = [
    ("answered", "the provider answered, and the answer came to its end"),
    ("refused", "the gateway said no, and no provider was asked"),
    ("provider_error", "the provider answered with an error, which was passed on as it was"),
    ("provider_failed", "the provider gave no answer that could be passed on"),
    ("provider_broke_off", "the provider broke its answer off"),
    ("caller_gone", "the caller hung up before the end"),
    ("local", "the gateway answered by itself, and no provider was asked"),
];

/// What the operator is told of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Why it ended as it did, and why it has no entry.
    pub why: Vec<String>,
    /// What to do.
    pub what_to_do: Vec<String>,
}

/// Why a request ended as it did, and what to do, if it has no entry.
#[must_use]
pub fn tell(line: &Line, quarantined: Option<&QuarantinedLine>) -> Told {
    let mut told = Told { why: Vec::new(), what_to_do: Vec::new() };
    match line.text("code").map(|code| (code, words::of(code))) {
        Some((_, Some(words))) => {
            told.why.push(words.why.to_owned());
            let (is_blocked, advice) =
                if words.code == "daily_cap_exceeded" { cap_advice(line) } else { (false, None) };
            told.what_to_do.extend(advice.map(str::to_owned));
            if !is_blocked {
                told.what_to_do.extend(words.what_to_do.iter().map(|what| (*what).to_owned()));
            }
        }
        Some((code, None)) => {
            told.why.push(format!(
                "This program has no words for the code {}: the gateway is newer than it is. What the caller was told stands below.",
                on_one_line(code)
            ));
            told.what_to_do.push("Use the pax-ledger of the gateway's version.".to_owned());
        }
        None => told.without_code(line),
    }
    told.no_entry(line, quarantined);
    told
}

impl Told {
    fn without_code(&mut self, line: &Line) {
        let outcome = line.text("outcome");
        let known = OUTCOMES.iter().find(|(name, _)| Some(*name) == outcome);
        match (known, line.is_told()) {
            (Some((_, means)), _) => self.why.push(sentence(means)),
            (None, true) => self.why.push(
                "The line does not say how the request ended in words that this program knows: use the pax-ledger of the \
                 gateway's version."
                    .to_owned(),
            ),
            (None, false) => self.why.push(
                "The filter never saw the request, or was not there: Envoy answered by itself, with the status and the \
                 details above."
                    .to_owned(),
            ),
        }
        let more = match outcome {
            Some("provider_error") => &[
                "The error is the provider's: its own status and id of the request stand above, for its support.",
                "A 401 or 403 with a key of the caller's own (funding byo) is about that key.",
            ][..],
            Some("provider_failed") => &[
                "Check the way from Envoy to the provider: Envoy's log and `/clusters` of its admin interface.",
            ],
            Some("caller_gone") => {
                &["If callers hang up often, their own timeouts may be shorter than the model is slow."]
            }
            _ => &[],
        };
        self.what_to_do.extend(more.iter().map(|what| (*what).to_owned()));
    }

    /// Why there is no entry.
    fn no_entry(&mut self, line: &Line, quarantined: Option<&QuarantinedLine>) {
        if let Some(held) = quarantined {
            let (number, reason) = (held.number, on_one_line(&held.reason));
            self.why.push(format!(
                "What the filter sent is in quarantine as number {number} ({reason}: {}).",
                on_one_line(&held.message)
            ));
            self.what_to_do.insert(
                0,
                format!("`pax-ledger quarantine list --json --bytes` shows its bytes; `quarantine seen {number}` marks it as seen."),
            );
            return;
        }
        let Some(cost) = line.text("cost_pax") else {
            self.why.push("Nothing was charged for it, so it has no entry.".to_owned());
            return;
        };
        self.why.push(format!(
            "It cost {} PAX, so it must become an entry; this ledger does not have it yet, or not any more.",
            on_one_line(cost)
        ));
        self.what_to_do.extend(
            [
                "Ask again in a moment: the debit waits in its Envoy (metric pax_outbox_waiting) and is sent until the ledger has it.",
                "If the ledger was restored from a backup since, the entry is in the file that was moved aside (`--db FILE`).",
                "If several gateways write to this log, the entry may be in another one's ledger (`--db FILE`).",
            ]
            .map(str::to_owned),
        );
    }
}

/// Whether a cap of 0 blocks the account, so that nothing else helps; and what the line's numbers suggest for a
/// call that did not fit.
fn cap_advice(line: &Line) -> (bool, Option<&'static str>) {
    let amount = |key| line.pax(key);
    let (Some(limit), Some(spent), Some(needed)) =
        (amount("limit_pax"), amount("spent_pax"), amount("needed_pax"))
    else {
        return (false, None);
    };
    let is_blocked = limit <= Pax::ZERO;
    let advice = if is_blocked {
        "The account's cap is 0, which blocks it: `pax-ledger account cap NAME PAX` sets another one, `default` the rate card's."
    } else if needed > limit {
        "This call alone could cost more than the whole cap: it fits on no day."
    } else if spent.checked_add(needed).is_some_and(|sum| sum <= limit) {
        "It fits as soon as enough of the calls in flight have ended: they cost less than what they have set aside."
    } else {
        "It fits at no later moment of this day: what is spent stays spent."
    };
    (is_blocked, Some(advice))
}

/// The print-out of a request that has no entry.
#[must_use]
pub fn print_out(id: &str, found: &Found, told: &Told) -> String {
    let line = &found.line;
    let mut lines = vec![format!("exchange {id}"), row("entry", "none in this ledger")];
    lines.push(row("found in", on_one_line(&found.log.display().to_string())));
    lines.extend(call(line));
    lines.push(String::new());
    lines.push("why".to_owned());
    lines.extend(told.why.iter().map(|why| format!("  {why}")));
    let numbers = numbers(line);
    if !numbers.is_empty() {
        lines.push(String::new());
        lines.push("numbers, in PAX".to_owned());
        lines.extend(numbers);
    }
    lines.extend(what_to_do(told.what_to_do.iter().map(String::as_str)));
    if let Some(message) = line.text("message") {
        lines.push(String::new());
        lines.push("what the caller was told".to_owned());
        lines.push(format!("  {}", on_one_line(message)));
    }
    lines.join("\n")
}

fn what_to_do<'a>(what: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = what.map(|what| format!("  - {what}")).collect();
    if !lines.is_empty() {
        lines.splice(0..0, [String::new(), "what to do".to_owned()]);
    }
    lines
}

/// The print-out of a code without a request.
#[must_use]
pub fn print_out_code(words: &words::Words) -> String {
    let mut lines = vec![format!("code {}", words.code), format!("  {}", words.why)];
    lines.extend(what_to_do(words.what_to_do.iter().copied()));
    lines.join("\n")
}

/// What the line adds to the bill of a call that has an entry.
#[must_use]
pub fn print_out_beside_entry(found: &Found) -> String {
    let mut lines = vec!["calls log".to_owned()];
    lines.push(row("found in", on_one_line(&found.log.display().to_string())));
    lines.extend(answered(&found.line));
    lines.push(row("took", took(&found.line)));
    lines.join("\n")
}

/// What was called, by which account, when, and how it ended.
fn call(line: &Line) -> Vec<String> {
    let text = |key| line.text(key).map(on_one_line);
    let mut lines = Vec::new();
    lines.push(row("time", format!("{}, took {}", text("time").unwrap_or_else(unknown), took(line))));
    let called = [text("method"), text("path")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let streamed = if line.is("stream") { ", streamed" } else { "" };
    lines.push(row("called", if called.is_empty() { unknown() } else { format!("{called}{streamed}") }));
    lines.push(row(
        "account",
        match text("account") {
            Some(account) => {
                let part =
                    |name: &str, key| text(key).map_or_else(String::new, |it| format!(", {name} {it}"));
                format!(
                    "{account}{}{}{}",
                    part("tier", "tier"),
                    part("token", "token_id"),
                    part("slot", "slot")
                )
            }
            None => {
                "not known: the request ended before it was asked whose token it is, or nobody has that token"
                    .to_owned()
            }
        },
    ));
    if let Some(model) = text("model") {
        let served = text("model_served").filter(|served| *served != model);
        let served = served.map_or_else(String::new, |served| format!(", which the provider calls {served}"));
        lines.push(row("model", format!("{model}{served}")));
    }
    if let Some(provider) = text("provider") {
        let pays = match line.text("funding") {
            Some("byo") => ", with the caller's own key",
            Some("platform") => ", with the platform's key",
            _ => "",
        };
        let status = line
            .whole("provider_status")
            .map_or_else(String::new, |status| format!(", which answered {status}"));
        lines.push(row("provider", format!("{provider}{status}{pays}")));
    }
    if let Some(request) = text("provider_request_id") {
        lines.push(row("provider's id", request));
    }
    lines.extend(answered(line));
    if let Some(version) = line.whole("rate_table_v") {
        lines.push(row("rate card", version));
    }
    lines.extend(usage(line));
    lines
}

fn unknown() -> String {
    "not known".to_owned()
}

/// What the caller got, and what Envoy noted of it.
fn answered(line: &Line) -> Vec<String> {
    let code = line.text("code").map_or_else(String::new, |code| format!(" {}", on_one_line(code)));
    let status = line.whole("status").filter(|status| *status > 0);
    let status =
        status.map_or_else(|| "nothing: the caller was gone".to_owned(), |status| format!("{status}{code}"));
    let outcome = line.text("outcome").map(|outcome| {
        let means = OUTCOMES.iter().find(|(name, _)| *name == outcome).map(|(_, means)| *means);
        row(
            "outcome",
            format!("{}{}", on_one_line(outcome), means.map_or_else(String::new, |it| format!(": {it}"))),
        )
    });
    let envoy = |key| line.text(key).map_or_else(|| "-".to_owned(), on_one_line);
    let details = format!("details {}, flags {}", envoy("response_code_details"), envoy("response_flags"));
    [Some(row("answered", status)), outcome, Some(row("Envoy", details))].into_iter().flatten().collect()
}

fn took(line: &Line) -> String {
    let ms = |key| line.whole(key);
    let whole = ms("duration_ms").map_or_else(unknown, |ms| format!("{ms} ms"));
    let first =
        ms("first_byte_ms").map_or_else(String::new, |ms| format!(", the answer began after {ms} ms"));
    let forwarded =
        ms("forwarded_ms").map_or_else(String::new, |ms| format!(", it went to the provider after {ms} ms"));
    format!("{whole}{forwarded}{first}")
}

/// The tokens that were counted, if any were.
fn usage(line: &Line) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(input), Some(output)) = (line.whole("input_tokens"), line.whole("output_tokens")) {
        let cached = line.whole("cached_tokens").filter(|cached| *cached > 0);
        let cached = cached.map_or_else(String::new, |cached| format!(" ({cached} of these cached)"));
        let by = line.text("provenance").map_or_else(String::new, |by| format!(", {}", on_one_line(by)));
        lines.push(row("tokens", format!("{input} input{cached}, {output} output{by}")));
    }
    let flags = line.texts("flags");
    if !flags.is_empty() {
        lines.push(row("flags", on_one_line(&flags.join(", "))));
    }
    lines
}

/// The amounts of the line, and by how much the call did not fit.
fn numbers(line: &Line) -> Vec<String> {
    let rows = [
        ("needed", "needed_pax", "what this call could cost at most"),
        ("spent", "spent_pax", "what the account had spent that day"),
        ("in flight", "in_flight_pax", "what was set aside for its other calls"),
        ("limit", "limit_pax", "its daily cap"),
        ("left", "left_pax", "the cap less what was spent"),
        ("reserved", "reserved_pax", "what was set aside for this call while it ran"),
        ("cost", "cost_pax", "what it was charged"),
    ];
    let known =
        rows.into_iter().filter_map(|(name, key, what)| Some((name, on_one_line(line.text(key)?), what)));
    let mut lines: Vec<String> =
        known.map(|(name, amount, what)| row(name, format!("{amount}  {what}"))).collect();
    lines.extend(excess(line).map(|excess| row("above the limit", excess)));
    lines
}

fn excess(line: &Line) -> Option<String> {
    let (needed, spent) = (line.pax("needed_pax")?, line.pax("spent_pax")?);
    let (in_flight, limit) = (line.pax("in_flight_pax")?, line.pax("limit_pax")?);
    let together = Sum::from(spent).plus(in_flight).plus(needed);
    let above = together.minus(limit);
    (above > Sum::ZERO).then(|| format!("{above}  {spent} + {in_flight} + {needed} = {together}, of {limit}"))
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
