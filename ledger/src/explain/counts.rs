//! Explains an entry's token counts: from the provider's report, or from an estimate with each of its factors.

use pax_gateway::base::pax::Tokens;
use pax_gateway::base::text_bytes::TextBytes;
use pax_gateway::debit::estimate::{Bytes1, Bytes2, EstimatedFrom, LIMIT_SLACK, Side};
use pax_gateway::debit::frozen::{Debit, Flag, Provenance};
use pax_gateway::dialect::usage::{Mode, Rules};
use pax_gateway::price::card::Model;
use pax_gateway::price::rates::{INPUT_PARTS, OUTPUT_PARTS, Part};

use super::{on_one_line, row};

pub(super) fn lines(debit: &Debit, model: Option<&Model>) -> Vec<String> {
    let estimator = debit.estimator.as_deref().unwrap_or("an unknown estimator");
    let side = match (debit.provenance, &debit.estimated_from) {
        (Provenance::Reported, _) => None,
        (Provenance::Estimated, Some(EstimatedFrom::Bytes2(from))) => Some(from.side),
        (Provenance::Estimated, _) => Some(Side::Both),
    };
    let mut lines = vec![match side {
        None => "tokens, as the provider reported them".to_owned(),
        Some(Side::Both) => {
            format!("tokens, estimated by {estimator}: no usage that could be counted was reported")
        }
        Some(Side::Input) => format!("tokens, the input estimated by {estimator}, the output as reported"),
        Some(Side::Output) => format!("tokens, the output estimated by {estimator}, the input as reported"),
    }];
    if let Some(raw) = &debit.usage {
        lines.push(row("usage", on_one_line(raw)));
    }
    if let Some(name) = debit.usage_rules.as_deref().filter(|_| side != Some(Side::Both)) {
        lines.push(row("read by", format!("{name}: {}", rules(name, debit.mode))));
    }
    if debit.flags.contains(&Flag::UsageImpossible) {
        lines.extend(model.into_iter().flat_map(|model| possible(debit, model)));
    }
    match &debit.estimated_from {
        Some(EstimatedFrom::Bytes1(from)) => lines.extend(bytes_1(debit, from, model)),
        Some(EstimatedFrom::Bytes2(from)) => lines.extend(bytes_2(debit, from)),
        None => {}
    }
    if matches!(side, None | Some(Side::Output)) {
        lines.extend(whole(debit, Part::Input, &INPUT_PARTS));
    }
    if matches!(side, None | Some(Side::Input)) {
        lines.extend(whole(debit, Part::Output, &OUTPUT_PARTS));
    }
    lines
}

/// What a family of usage rules takes for input and output, in short; the rules themselves have the details.
fn rules(name: &str, mode: Mode) -> &'static str {
    let is_additional = Rules::named(name).is_some_and(|rules| rules.first() == Rules::Additional1);
    match (is_additional, mode) {
        (false, Mode::Embeddings) => "input is prompt_tokens",
        (false, _) => "input is prompt_tokens, output completion_tokens or, if more, total_tokens − input",
        (true, Mode::Embeddings) => "input is prompt_tokens + cached + written to the cache",
        (true, _) => "input is prompt_tokens + cached + written to the cache, output completion_tokens",
    }
}

/// The largest counts that the filter believed of the provider's report.
fn possible(debit: &Debit, model: &Model) -> Vec<String> {
    let set_aside = |limit: Option<Tokens>| limit.unwrap_or_default();
    let (window, most) = (model.context_window, model.max_output);
    let (input_limit, output_limit) = (set_aside(debit.input_limit), set_aside(debit.output_limit));
    if debit.mode == Mode::Embeddings {
        let input =
            format!("input {window} (context window), or {input_limit} (set aside for the call) if more");
        return vec![row("believed up to", input)];
    }
    let n = debit.n.unwrap_or(1);
    let all = most.0.saturating_mul(n);
    vec![
        row("believed up to", format!("input {window} (context window)")),
        row(
            "",
            format!(
                "output {most} (the model's maximum) × {n} = {all}, or {output_limit} (set aside for the call) if more"
            ),
        ),
    ]
}

/// A side of the report, input or output, and its parts.
fn whole(debit: &Debit, whole: Part, parts: &[Part]) -> Vec<String> {
    let usage = debit.usage();
    let all = whole.counted(&usage);
    let counted = || parts.iter().map(|part| (part.name(), part.counted(&usage)));
    let apart: Vec<_> = counted()
        .filter(|(_, tokens)| *tokens > Tokens::ZERO && *tokens <= all)
        .map(|(name, tokens)| format!("{tokens} {name}"))
        .collect();
    let apart = if apart.is_empty() { String::new() } else { format!(", of these {}", apart.join(", ")) };
    let mut lines = vec![row(whole.name(), format!("{all}{apart}"))];
    lines.extend(counted().filter(|(_, tokens)| *tokens > all).map(|(name, tokens)| {
        row("", format!("{tokens} {name} is more than the whole {}, so it counts as none", whole.name()))
    }));
    lines
}

fn bytes_1(debit: &Debit, from: &Bytes1, model: Option<&Model>) -> [String; 2] {
    let Bytes1 { input_bytes, output_bytes, input_limit, output_limit } = from;
    let divisor = pax_gateway::price::card::bytes_per_token(model);
    let line = |name: &str, bytes: &u64, what: &str, limit: &Tokens, tokens: Tokens| {
        let all = bytes.div_ceil(divisor);
        row(name, format!("{bytes} bytes {what} ÷ {divisor}, rounded up: {all}; at most {limit}: {tokens}"))
    };
    [
        line("input", input_bytes, "of text sent", input_limit, debit.tokens_input),
        line("output", output_bytes, "of text seen", output_limit, debit.tokens_output),
    ]
}

fn bytes_2(debit: &Debit, from: &Bytes2) -> Vec<String> {
    let factors = from.factors();
    let text = |ascii: u64, other: u64| {
        let of = |text: TextBytes| factors.tokens(text);
        let (ascii_tokens, other_tokens) =
            (of(TextBytes { ascii, other: 0 }), of(TextBytes { ascii: 0, other }));
        format!(
            "{ascii} ASCII bytes ÷ {} = {ascii_tokens}, {other} other bytes ÷ {} = {other_tokens}, each rounded up: {}",
            factors.bytes_per_token,
            factors.bytes_per_token_other,
            of(TextBytes { ascii, other })
        )
    };
    let mut lines = Vec::new();
    // The output comes first: the input may be what the output leaves of the window.
    if from.side != Side::Input {
        lines.push(row("output seen", text(from.output_ascii_bytes, from.output_other_bytes)));
        lines.extend(output(debit, from));
    }
    if from.side != Side::Output {
        let limit = debit.input_limit.unwrap_or_default();
        let input = debit.tokens_input;
        if from.not_text {
            lines.push(row(
                "input",
                format!("has parts that are not text, so it counts as the most there can be: {limit}"),
            ));
            if from.shares_window {
                let output = debit.tokens_output;
                lines.push(row(
                    "",
                    format!("{limit} − output {output}, since both share the window: {input}"),
                ));
            }
        } else {
            lines.push(row("input text", text(from.input_ascii_bytes, from.input_other_bytes)));
            lines.push(row("input", format!("at most {limit} (set aside for the call): {input}")));
        }
    }
    lines
}

/// The estimated output: what the filter saw, and what the provider may have written unseen, within the limit.
fn output(debit: &Debit, from: &Bytes2) -> Vec<String> {
    let factors = from.factors();
    let limit = debit.output_limit.unwrap_or_default();
    let (seen, output) = (from.seen(), debit.tokens_output);
    if from.disproves(limit) {
        return vec![
            row(
                "output",
                format!(
                    "the text has more than 2 × {limit} + {LIMIT_SLACK} tokens, so the provider did not keep to the"
                ),
            ),
            row("", format!("{limit} that were set aside for the call: all of the text counts: {output}")),
        ];
    }
    let Some(unseen_ms) = debit.unseen_ms else {
        return vec![row("output", format!("at most {limit} (set aside for the call): {output}"))];
    };
    let waiting_ms = factors.unseen_after_s.saturating_mul(1_000);
    let unseen = factors.unseen(unseen_ms);
    let writing_ms = unseen_ms.saturating_sub(waiting_ms);
    let rate = factors.unseen_tokens_per_s;
    vec![
        row(
            "output unseen",
            format!(
                "{unseen_ms} ms until the first text or the end − {waiting_ms} ms of waiting in line = {writing_ms} ms"
            ),
        ),
        row("", format!("{writing_ms} × {rate} tokens a second ÷ 1000, rounded up: {unseen}")),
        row("output", format!("{seen} + {unseen}, at most {limit} (set aside for the call): {output}")),
    ]
}
