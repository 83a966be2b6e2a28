//! Many calls priced again at once, for operators: the plan, and the run.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pax_gateway::price::card::RateTableVersion;

use super::args::{Acting, Many};
use super::crediting::{card_of, known_cards};
use super::{print, print_table_of_numbers};
use crate::book::Sum;
use crate::error::Error;
use crate::explain::on_one_line;
use crate::now;
use crate::store::Store;
use crate::store::repricing::{Changes, LeftOut, Plan, Repricing};

/// How long others have the database at least between two batches of a run.
const PAUSE: Duration = Duration::from_millis(200);
/// How many accounts, and how many models, are shown.
const GROUPS_SHOWN: usize = 20;

pub(super) async fn run(
    store: &Store,
    many: Many,
    (card, reprice_as): (RateTableVersion, RateTableVersion),
    acting: Acting,
) -> Result<ExitCode, Error> {
    let bundle = known_cards(store).await?;
    let repricing = Repricing {
        priced_under: card_of(&bundle, card)?,
        reprice_as: card_of(&bundle, reprice_as)?,
        account: many.account,
        model: many.model,
        since: many.since,
        until: many.until,
    };
    if many.dry_run {
        let plan = match many.plan {
            Some(begun) => store.plan(&repricing, begun.until, acting.key.as_deref()).await?,
            None => store.plan(&repricing, now(), None).await?,
        };
        show(&plan, &repricing)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(wanted) = many.plan else {
        return Err(Error::Operator(
            "nothing is done: say --dry-run, which prints a plan, and then --plan PLAN".to_owned(),
        ));
    };
    let act = acting.act()?;
    let plan = store.plan(&repricing, wanted.until, Some(act.key())).await?;
    if plan.id != wanted {
        return Err(Error::Operator(format!(
            "nothing is done: these calls make the plan {} now. The cards or the selection are other ones, or somebody \
             has corrected one of the calls meanwhile: look at it with --dry-run",
            plan.id
        )));
    }
    let mut corrected = 0_usize;
    for batch in 0..plan.batches.len() {
        let began = Instant::now();
        let done = store.reprice(&act, &repricing, &plan, batch).await?;
        if done.before.is_none() {
            corrected = corrected.saturating_add(done.reply.corrections);
            // The service waits for the database meanwhile. It looks again every tenth of a second.
            tokio::time::sleep(began.elapsed().max(PAUSE)).await;
        }
    }
    print(&format!(
        "corrected {corrected} calls (keys {}/...); {} of the plan's {} had been corrected before",
        act.key(),
        plan.done,
        plan.all.count
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn show(plan: &Plan, repricing: &Repricing) -> Result<(), Error> {
    let Repricing { priced_under, reprice_as, .. } = repricing;
    print(&format!(
        "rate card {} to rate card {}: {} calls of {} accounts, from {} to {} PAX, a difference of {} PAX",
        priced_under.version,
        reprice_as.version,
        plan.all.count,
        plan.by_account.len(),
        plan.all.was,
        plan.all.now,
        plan.all.difference()
    ))?;
    let LeftOut { corrected, same, unpriced } = plan.left_out;
    print(&format!(
        "left out: {corrected} whose amount an operator has named, {same} that cost the same, {unpriced} that card {} \
         does not price",
        reprice_as.version
    ))?;
    if plan.all.count == 0 {
        return print("there is nothing to correct");
    }
    show_groups("account", &plan.by_account)?;
    show_groups("model", &plan.by_model)?;
    let header = ["first calls", "account", "model", "was", "now"].map(str::to_owned);
    let rows = plan.first.iter().map(|it| {
        let (corrects, account, model) = (&it.change.corrects, &it.place.account, on_one_line(&it.model));
        [
            corrects.clone(),
            account.clone(),
            model,
            it.change.was_pax.to_string(),
            it.change.now_pax.to_string(),
        ]
    });
    print_table_of_numbers(&std::iter::once(header).chain(rows).collect::<Vec<_>>(), 3)?;
    if plan.done > 0 {
        print(&format!("{} of them are corrected already under this key", plan.done))?;
    }
    print(&format!("plan {}", plan.id))?;
    print(
        "next: the same command with --plan and this name instead of --dry-run, and with --key and --reason",
    )
}

/// The groups whose amounts change most.
fn show_groups(name: &str, groups: &BTreeMap<String, Changes>) -> Result<(), Error> {
    let mut groups: Vec<_> = groups.iter().collect();
    groups.sort_by_key(|(_, changes)| {
        let difference = changes.difference();
        let less = Sum::ZERO.less(difference);
        std::cmp::Reverse(difference.max(less))
    });
    let header = [name, "calls", "was", "now", "difference"].map(str::to_owned);
    let rows = groups.iter().take(GROUPS_SHOWN).map(|(group, changes)| {
        let Changes { count, was, now } = changes;
        let difference = changes.difference().to_string();
        [on_one_line(group), count.to_string(), was.to_string(), now.to_string(), difference]
    });
    print_table_of_numbers(&std::iter::once(header).chain(rows).collect::<Vec<_>>(), 1)?;
    match groups.len().saturating_sub(GROUPS_SHOWN) {
        0 => Ok(()),
        more => print(&format!("and {more} more")),
    }
}
