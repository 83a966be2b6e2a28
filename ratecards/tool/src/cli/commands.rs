//! What each command does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pax_gateway::base::clock::Moment;
use pax_gateway::price::bundle::Bundle;

use clap::CommandFactory as _;

use super::{Against, Check, Cli, Command, Diff, Import, Litellm, New, Publish};
use crate::Failed;
use crate::check::{Level, Rules, check, with_line};
use crate::draft::{Next, Started, parse, start};
use crate::folder::{Folder, lock_entry};
use crate::listed::Leave;
use crate::litellm::{self, Model, Wanted};
use crate::markup::{Marked, Markup};
use crate::publish::{Consent, publish};
use crate::reprice::{Period, reprice};
use crate::show::{Form, show};
use crate::spans::{self, Member, Value};
use crate::{diff, speed};

pub(super) fn run(cli: Cli) -> Result<ExitCode, Failed> {
    let now = cli.now.unwrap_or_else(pax_ledger::now);
    match cli.command {
        Command::Check(options) => {
            run_check(&Folder::read(options.folder.as_ref().unwrap_or(&cli.dir))?, &options, now)
        }
        Command::New(options) => run_new(&Folder::read(&cli.dir)?, options, now),
        Command::Diff(options) => run_diff(&Folder::read(&cli.dir)?, &options),
        Command::Publish(options) => run_publish(&Folder::read(&cli.dir)?, &options, now),
        Command::Import(Import::Litellm(options)) => run_import(&Folder::read(&cli.dir)?, &options),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pax-ratecard", &mut script);
            print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(text: &str) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `pax-ratecard diff v2 v3 | head`: the reader that closed the pipe has what it wanted.
        Err(why) if why.kind() != std::io::ErrorKind::BrokenPipe => Err(Failed::at("printing", why)),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<String, Failed> {
    fs::read_to_string(path).map_err(|why| Failed::at(path.display(), why))
}

/// The gateway's providers, if the folder lies in a checkout.
fn providers_beside(folder: &Folder) -> Option<PathBuf> {
    let path = fs::canonicalize(&folder.path).ok()?;
    Some(path.parent()?.join("envoy/providers.json")).filter(|path| path.exists())
}

/// Where the gateway calls each provider, as far as that can be known.
fn authorities(folder: &Folder) -> Result<BTreeMap<String, String>, Failed> {
    let Some(path) = providers_beside(folder) else { return Ok(BTreeMap::new()) };
    let text = read(&path)?;
    let value = spans::read(&text).ok_or_else(|| Failed(format!("{} is not JSON", path.display())))?;
    let authority = |member: &Member| {
        Some((member.key.clone(), member.value.get("authority").and_then(Value::text)?.to_owned()))
    };
    Ok(value.members().iter().filter_map(authority).collect())
}

fn rules(folder: &Folder, against: &Against, now: Moment) -> Result<Rules, Failed> {
    let providers = against.providers.clone().or(providers_beside(folder));
    let names = |path: &Path| -> Result<BTreeSet<String>, Failed> {
        let text = read(path)?;
        let value = spans::read(&text).ok_or_else(|| Failed(format!("{} is not JSON", path.display())))?;
        Ok(value.members().iter().map(|member| member.key.clone()).collect())
    };
    Ok(Rules {
        providers: providers.as_deref().map(names).transpose()?,
        published: against.published.as_deref().map(read).transpose()?,
        now,
    })
}

fn run_check(folder: &Folder, options: &Check, now: Moment) -> Result<ExitCode, Failed> {
    let mut checked = check(folder, &rules(folder, &options.against, now)?);
    if let Some(entries) = &options.entries {
        checked.findings.extend(speed::slow(folder, &read(entries)?)?);
        checked.findings.sort_by(|a, b| (a.level, &a.file, a.line).cmp(&(b.level, &b.file, b.line)));
    }
    let (mistakes, warnings) = (checked.count(Level::Mistake), checked.count(Level::Warning));
    let mut text = String::new();
    for finding in &checked.findings {
        text.push_str(&format!("{finding}\n"));
    }
    let plural = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    text.push_str(&format!(
        "{}: {}, {}\n",
        plural(folder.cards.len(), "card"),
        plural(mistakes, "mistake"),
        plural(warnings, "warning")
    ));
    print(&text)?;
    Ok(if mistakes > 0 || options.strict && warnings > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run_new(folder: &Folder, options: New, now: Moment) -> Result<ExitCode, Failed> {
    let New { reason, effective, from, markup, providers, models } = options;
    let markup = markup.map(|percent| Markup { percent, providers, models });
    let started = start(folder, &Next { reason, effective, from, markup }, now)?;
    let Started { card, begins, source, replaces, later, marked } = &started;
    folder.write(&card.name, &card.text)?;
    let mut text = format!(
        "started {}, a draft from {source}, in force from {begins}.\n",
        folder.path.join(&card.name).display()
    );
    for later in later {
        text.push_str(&format!(
            "{later} begins later, with a lower version: `pax-ratecard publish` publishes it again behind this one. What \
             you correct here is not corrected there.\n"
        ));
    }
    if let Some((marked, is_again)) = marked {
        text.push_str(&said(*marked));
        text.push_str(&match is_again {
            true => format!(
                "warning: {source} has a mark-up already, by its reason: this one compounds with it. --from starts from a \
                 card without\n"
            ),
            false => format!("It is on the prices of {source} as they are: what raised them before stays in them.\n"),
        });
    }
    let (name, before) = (stem(&card.name), replaces.as_ref().unwrap_or(source));
    text.push_str(&format!(
        "Edit it, or `pax-ratecard import` prices into it; then\n  pax-ratecard check\n  pax-ratecard diff {} \
         {name}\n  pax-ratecard publish\n",
        stem(before)
    ));
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn said(marked: Marked) -> String {
    let Marked { models, prices, rounded } = marked;
    let rounded = match rounded {
        0 => "exactly".to_owned(),
        _ => format!("{rounded} of them rounded half up to 12 decimals"),
    };
    format!("{prices} prices of {models} models changed, {rounded}.\n")
}

/// What an operator calls a card.
fn stem(name: &str) -> &str {
    name.trim_end_matches(".json")
}

fn run_diff(folder: &Folder, options: &Diff) -> Result<ExitCode, Failed> {
    let (from, to) = (folder.card(&options.from)?, folder.card(&options.to)?);
    let mut diff = diff::diff(from, to)?;
    if let Some(database) = &options.against_ledger {
        // Every card of the folder, as if all were published: an entry is looked up by its card's hash.
        let files: Vec<(&str, &str)> =
            folder.cards.iter().map(|card| (card.name.as_str(), card.text.as_str())).collect();
        let lock = folder
            .draft()
            .map_or_else(|| folder.lock.clone(), |draft| with_line(&folder.lock, &lock_entry(draft)));
        let bundle = Bundle::load(&files, &lock).map_err(|mistakes| Failed(mistakes.to_string()))?;
        let period = Period { since: options.since, until: options.until };
        diff.revenue = Some(reprice(database, period, &parse(to)?, &bundle)?);
    }
    let form = match (options.markdown, options.json) {
        (true, _) => Form::Markdown,
        (_, true) => Form::Json,
        _ => {
            Form::Text { colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
        }
    };
    print(&show(&diff, form)?)?;
    Ok(ExitCode::SUCCESS)
}

fn run_publish(folder: &Folder, options: &Publish, now: Moment) -> Result<ExitCode, Failed> {
    let consent = Consent {
        now_in_force: options.now_in_force,
        revalue_balances: options.revalue_balances,
        despite_warnings: options.despite_warnings,
        drop_later: options.drop_later,
    };
    let rules = rules(folder, &options.against, now)?;
    let published = publish(folder, options.card.as_deref(), consent, &rules)?;
    let mut text = String::new();
    for finding in published.checked.findings.iter().filter(|finding| finding.level == Level::Warning) {
        text.push_str(&format!("{finding}\n"));
    }
    if let Some(what) = &published.revaluation {
        text.push_str(&format!("{what}.\n"));
    }
    let (name, from) = (&published.card.name, published.effective_from);
    let names: Vec<&str> =
        [name.as_str()].into_iter().chain(published.again.iter().map(|(again, _)| again.as_str())).collect();
    let force = if from > now {
        format!("It takes force at {from}. Until then")
    } else {
        "It takes force wherever it is loaded. Now".to_owned()
    };
    text.push_str(&format!("published {name}: its hash is in LOCK, and from now on it never changes.\n"));
    for (again, of) in &published.again {
        text.push_str(&format!(
            "published {again}: {of} again, which begins later and which {name} would have kept from ever coming into \
             force. Is what {name} corrects wrong in it too? `pax-ratecard diff {} {}` shows; the next version, with the \
             same time, puts it right.\n",
            stem(name),
            stem(again)
        ));
    }
    text.push_str(&format!(
        "{force}:\n  \
         make test, and commit {} and LOCK\n  \
         make reload, or another way of ratecards/README.md, \"Get it live\"\n",
        names.join(", ")
    ));
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn run_import(folder: &Folder, options: &Litellm) -> Result<ExitCode, Failed> {
    let card = match &options.into {
        Some(called) => folder.card(called)?,
        None => folder.draft().ok_or_else(|| {
            Failed("there is no draft to import into: `pax-ratecard new` starts one".to_owned())
        })?,
    };
    if folder.is_locked(&card.name) {
        let name = &card.name;
        return Err(Failed(format!(
            "{name} is published: it never changes. `pax-ratecard new` starts the next"
        )));
    }
    let leave = Leave {
        allow_zero: options.allow_zero,
        unpriced: options.leave_unpriced,
        authorities: authorities(folder)?,
        ignored: options.ignored.clone(),
    };
    let wanted = Wanted { providers: options.providers.clone(), models: options.models.clone(), leave };
    let import = litellm::import(card, &read(&options.file)?, &wanted)?;
    let mut text: String = import.taken.iter().map(taken).collect();
    for model in &import.left_out {
        text.push_str(&format!("left out {}: {}\n", model.name, model.why.join("; ")));
        if !model.kept.is_empty() {
            text.push_str(&format!("  note: {} stays in the card as it is\n", model.kept.join(", ")));
        }
    }
    let (took, left) = (import.taken.len(), import.left_out.len());
    let unpriced = import.taken.iter().filter(|model| !model.unpriced.is_empty()).count();
    if unpriced > 0 {
        text.push_str(&format!("{unpriced} models have something left unpriced (above, by model)\n"));
    }
    text.push_str(&format!("{took} models taken, {left} left out, {} not asked for\n", import.not_asked));
    if options.dry_run {
        text.push_str("nothing was written (--dry-run)\n");
    } else if import.text == card.text {
        text.push_str(&format!("{} stays as it is\n", card.name));
    } else {
        folder.write(&card.name, &import.text)?;
        text.push_str(&format!(
            "wrote {}; `pax-ratecard check`, and look at `pax-ratecard diff`\n",
            card.name
        ));
    }
    print(&text)?;
    if took == 0 {
        return Err(Failed("no model was taken".to_owned()));
    }
    Ok(ExitCode::SUCCESS)
}

fn taken(model: &Model) -> String {
    let is_changed = |old: &Option<String>, new: &str| old.as_deref() != Some(new);
    let changed = model.prices.iter().filter(|(taken, old)| is_changed(old, &taken.usd)).count();
    let state = match (model.is_new, changed + model.gone.len()) {
        (true, _) => "new",
        (false, 0) => "prices as they were",
        (false, _) => "changed",
    };
    let mut text = format!("took {} from {} ({state})\n", model.id, model.name);
    for (taken, old) in &model.prices {
        let was = match old {
            _ if model.is_new => String::new(),
            None => "  (none before)".to_owned(),
            Some(old) if *old == taken.usd => String::new(),
            Some(old) => format!("  (was {old})"),
        };
        let place = litellm::shown(&taken.place);
        text.push_str(&format!(
            "  {place:<28} {:>12}  from {} {}{was}\n",
            taken.usd, taken.field, taken.per_token
        ));
    }
    for gone in &model.gone {
        text.push_str(&format!("  no more: {gone}, which the list does not have\n"));
    }
    for unpriced in &model.unpriced {
        text.push_str(&format!("  unpriced: {unpriced}\n"));
    }
    for note in &model.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    text
}
