//! A comparison as a terminal, a pull request or a program reads it.

use crate::Failed;
use crate::diff::{Charged, Diff, Listed, PriceChange};
use crate::reprice::{Revenue, Row};

/// How to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Aligned; with colours for a terminal.
    Text {
        /// Whether there are colours.
        colours: bool,
    },
    /// For a pull request.
    Markdown,
    /// For a program.
    Json,
}

/// A part of the page: a title, and a table or lines.
struct Part {
    title: String,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Rows that cost more (+1) or less (-1) than before.
    signs: Vec<i8>,
}

/// Shows a comparison.
///
/// # Errors
/// Only if the JSON writer fails.
pub fn show(diff: &Diff, form: Form) -> Result<String, Failed> {
    if form == Form::Json {
        let text = serde_json::to_string_pretty(diff).map_err(|why| Failed::at("writing JSON", why))?;
        return Ok(text + "\n");
    }
    let parts: Vec<Part> = parts(diff).into_iter().filter(|part| !part.rows.is_empty()).collect();
    let mut page = head(diff, form);
    if parts.is_empty() && diff.revaluation.is_none() {
        page.push_str("\nNothing else differs.\n");
    }
    for part in &parts {
        page.push_str(&match form {
            Form::Text { colours } => text(part, colours),
            _ => markdown(part),
        });
    }
    if let Some(revenue) = &diff.revenue {
        page.push_str(&format!("\n{}\n", left_out(revenue)));
    }
    Ok(page)
}

fn head(diff: &Diff, form: Form) -> String {
    let (from, to) = (&diff.from, &diff.to);
    let mark = if form == Form::Markdown { "### " } else { "" };
    let mut page = format!(
        "{mark}Rate card {} → {}: {}\n\nIn force from {}. 1 PAX = {} US dollars.\n",
        from.rate_table_v, to.rate_table_v, to.reason, to.effective_from, to.pax_usd
    );
    if let Some(what) = &diff.revaluation {
        let mark = if form == Form::Markdown {
            "**Every balance is revalued.** "
        } else {
            "EVERY BALANCE IS REVALUED. "
        };
        page.push_str(&format!("\n{mark}{what}.\n"));
    }
    page
}

fn parts(diff: &Diff) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(cap) = &diff.daily_cap_pax {
        parts.push(Part {
            title: "Free tier's daily cap, PAX".to_owned(),
            head: vec!["before", "after"],
            rows: vec![vec![cap.old.clone(), cap.new.clone()]],
            signs: vec![0],
        });
    }
    parts.push(whitelist(diff));
    parts.push(listed("Models removed: calls to them are refused", &diff.removed));
    parts.push(prices(diff));
    parts.push(listed("Models added", &diff.added));
    let terms = diff.terms.iter().map(|term| {
        vec![term.model.clone(), term.field.to_owned(), term.pair.old.clone(), term.pair.new.clone()]
    });
    let rows: Vec<_> = terms.collect();
    parts.push(Part {
        title: "What else changes of models".to_owned(),
        head: vec!["model", "field", "before", "after"],
        signs: vec![0; rows.len()],
        rows,
    });
    if let Some(revenue) = &diff.revenue {
        parts.extend(revenue_parts(revenue));
    }
    parts
}

fn whitelist(diff: &Diff) -> Part {
    let mut rows = Vec::new();
    for slot in &diff.whitelist {
        let row = |id: &String, what: &str| vec![slot.slot.clone(), what.to_owned(), id.clone()];
        rows.extend(slot.removed.iter().map(|id| row(id, "may no more call")));
        rows.extend(slot.added.iter().map(|id| row(id, "may also call")));
    }
    let (title, head) = ("Free tier's whitelist".to_owned(), vec!["slot", "free accounts", "model"]);
    Part { title, head, signs: vec![0; rows.len()], rows }
}

fn prices(diff: &Diff) -> Part {
    let revalued = diff.revaluation.is_some();
    let mut head = vec!["model", "price", "USD before", "USD after", "PAX before", "PAX after", "change"];
    if revalued {
        head.push("change in PAX");
    }
    head.push("free in slots");
    let row = |change: &PriceChange| {
        let usd = |charged: &Option<Charged>| match charged {
            None if change.is_minimum => "none".to_owned(),
            None => "refused".to_owned(),
            Some(Charged { usd, same_as: Some(other), .. }) => format!("{usd} (as {other})"),
            Some(Charged { usd, .. }) => usd.clone(),
        };
        let pax =
            |charged: &Option<Charged>| charged.as_ref().map_or_else(|| "-".to_owned(), |c| c.pax.clone());
        let new = || if change.new.is_none() { "gone" } else { "new" }.to_owned();
        let mut row = vec![
            change.model.clone(),
            change.price.clone(),
            usd(&change.old),
            usd(&change.new),
            pax(&change.old),
            pax(&change.new),
            change.change.clone().unwrap_or_else(new),
        ];
        if revalued {
            row.push(change.change_pax.clone().unwrap_or_else(|| "-".to_owned()));
        }
        row.push(change.free_in.join(", "));
        row
    };
    Part {
        title: "Prices of models in both, per million tokens, the largest change first".to_owned(),
        head,
        rows: diff.prices.iter().map(row).collect(),
        signs: diff
            .prices
            .iter()
            .map(|change| change.tenths.map_or(0, |tenths| if tenths < 0 { -1 } else { 1 }))
            .collect(),
    }
}

fn listed(title: &str, models: &[Listed]) -> Part {
    let mut rows = Vec::new();
    for model in models {
        for (index, (price, charged)) in model.prices.iter().enumerate() {
            let once = |text: String| if index == 0 { text } else { String::new() };
            rows.push(vec![
                once(model.model.clone()),
                once(model.provider.clone()),
                price.clone(),
                charged.usd.clone(),
                charged.pax.clone(),
                once(model.free_in.join(", ")),
            ]);
        }
    }
    let head = vec!["model", "provider", "price", "USD", "PAX", "free in slots"];
    Part { title: title.to_owned(), head, signs: vec![0; rows.len()], rows }
}

fn revenue_parts(revenue: &Revenue) -> Vec<Part> {
    let period = match (&revenue.since, &revenue.until) {
        (Some(since), Some(until)) => format!("{since} to {until}"),
        (Some(since), None) => format!("{since} and later"),
        (None, Some(until)) => format!("until {until}"),
        (None, None) => "all time".to_owned(),
    };
    let row = |row: &Row| {
        vec![
            if row.name.is_empty() { "all".to_owned() } else { row.name.clone() },
            row.entries.to_string(),
            row.old_pax.clone(),
            row.new_pax.clone(),
            row.change_pax.clone(),
            row.change.clone().unwrap_or_else(|| "-".to_owned()),
            row.old_usd.clone(),
            row.new_usd.clone(),
            row.change_usd.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let sign = |row: &Row| {
        let is_same = row.change_pax.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        if is_same {
            0
        } else if row.change_pax.starts_with('-') {
            -1
        } else {
            1
        }
    };
    let part = |title: String, first: &'static str, rows: &[Row]| Part {
        title,
        head: vec![
            first,
            "entries",
            "PAX charged",
            "PAX under it",
            "difference",
            "change",
            "USD charged",
            "USD under it",
            "change",
        ],
        rows: rows.iter().map(row).collect(),
        signs: rows.iter().map(sign).collect(),
    };
    let total = std::slice::from_ref(&revenue.total);
    let refused = revenue.refused.iter().map(|refused| {
        vec![refused.model.clone(), refused.why.clone(), refused.entries.to_string(), refused.old_pax.clone()]
    });
    let refused: Vec<_> = refused.collect();
    vec![
        part(format!("Revenue of {period}, repriced under the new card"), "total", total),
        part("Revenue by model".to_owned(), "model", &revenue.models),
        part("Revenue by account".to_owned(), "account", &revenue.accounts),
        Part {
            title: "Calls that the new card would refuse: not in the sums".to_owned(),
            head: vec!["model", "why", "entries", "PAX charged"],
            signs: vec![0; refused.len()],
            rows: refused,
        },
    ]
}

fn left_out(revenue: &Revenue) -> String {
    format!(
        "Not repriced: {} entries on callers' own keys, {} that are no debits or cannot be read.",
        revenue.byo, revenue.other
    )
}

/// Whether a cell is a number, which is aligned to the right.
fn is_number(cell: &str) -> bool {
    let digits = cell.trim_start_matches(['+', '-']).trim_end_matches('%');
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || cell == "-"
}

fn text(part: &Part, colours: bool) -> String {
    let width = |column: usize| {
        let cells = part.rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(part.head.get(column).map_or(0, |head| head.len()))
    };
    let numbers = |column: usize| {
        part.rows.iter().filter_map(|row| row.get(column)).any(|cell| is_number(cell) && cell != "-")
    };
    let line = |cells: &[String]| {
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            let pad = " ".repeat(width(column).saturating_sub(cell.chars().count()));
            if numbers(column) { pad + cell } else { cell.clone() + &pad }
        });
        format!("  {}", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let head: Vec<String> = part.head.iter().map(|cell| (*cell).to_owned()).collect();
    let mut text = format!("\n{}\n{}\n", part.title, line(&head));
    for (row, sign) in part.rows.iter().zip(&part.signs) {
        let line = line(row);
        let coloured = match (colours, sign) {
            (true, 1) => format!("\u{1b}[31m{line}\u{1b}[0m"),
            (true, -1) => format!("\u{1b}[32m{line}\u{1b}[0m"),
            _ => line,
        };
        text.push_str(&coloured);
        text.push('\n');
    }
    text
}

fn markdown(part: &Part) -> String {
    let line = |cells: &[String]| {
        let cells = cells.iter().map(|cell| cell.replace('|', "\\|"));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let numbers = |column: usize| {
        part.rows.iter().filter_map(|row| row.get(column)).any(|cell| is_number(cell) && cell != "-")
    };
    let head: Vec<String> = part.head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule: Vec<String> =
        (0..head.len()).map(|column| if numbers(column) { "---:" } else { "---" }.to_owned()).collect();
    let rows: String = part.rows.iter().map(|row| line(row)).collect();
    format!("\n**{}**\n\n{}{}{rows}", part.title, line(&head), line(&rule))
}
