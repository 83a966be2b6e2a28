//! What a period's calls would have cost under another card, from the ledger's entries and their recorded counts.

use std::collections::BTreeMap;

use pax_gateway::base::account::Funding;
use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::pax::{Pax, Usd};
use pax_gateway::debit::frozen::{Debit, Flag};
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::RateCard;
use pax_ledger::store::{EntryFilter, Location, Open, Store, StoredEntry};
use serde::Serialize;

use crate::Failed;
use crate::decimal::{change, per_cent};

const PAGE_ENTRIES: u32 = 500;

/// The change in revenue.
#[derive(Clone, Debug, Serialize)]
pub struct Revenue {
    /// The first day.
    pub since: Option<String>,
    /// The last day.
    pub until: Option<String>,
    /// All entries that the new card prices.
    pub total: Row,
    /// By model, the largest change first.
    pub models: Vec<Row>,
    /// By account, the largest change first.
    pub accounts: Vec<Row>,
    /// What the new card would refuse: not in the sums above.
    pub refused: Vec<Refused>,
    /// Entries on the caller's own key, which cost nothing under any card.
    pub byo: u64,
    /// Entries that are no debits, or cannot be read: replay says which.
    pub other: u64,
}

/// A sum of entries, as charged and as the new card would charge.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The model or account; empty for the total.
    pub name: String,
    /// How many entries.
    pub entries: u64,
    /// PAX as charged.
    pub old_pax: String,
    /// PAX under the new card.
    pub new_pax: String,
    /// The difference in PAX.
    pub change_pax: String,
    /// The difference in PAX, in per cent.
    pub change: Option<String>,
    /// US dollars as charged, each entry at its own card's `pax_usd`.
    pub old_usd: String,
    /// US dollars under the new card.
    pub new_usd: String,
    /// The difference in US dollars, in per cent.
    pub change_usd: Option<String>,
}

/// Entries that the new card does not price.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// The model.
    pub model: String,
    /// Why the new card would refuse such a call.
    pub why: String,
    /// How many entries.
    pub entries: u64,
    /// PAX as charged.
    pub old_pax: String,
}

/// Sums, in picopax and in 10⁻²⁴ US dollars.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    entries: u64,
    old: i128,
    new: i128,
    old_usd: i128,
    new_usd: i128,
}

impl Sum {
    fn add(&mut self, old: Pax, new: Pax, old_usd: Usd, new_usd: Usd) -> Result<(), Failed> {
        let too_much =
            || Failed("the sums leave the range of this program: name a shorter period".to_owned());
        let value = |pax: Pax, usd: Usd| {
            i128::try_from(usd.picodollars()).ok()?.checked_mul(i128::from(pax.picopax()))
        };
        let add = |to: &mut i128, amount: Option<i128>| {
            *to = amount.and_then(|amount| to.checked_add(amount)).ok_or_else(too_much)?;
            Ok(())
        };
        self.entries += 1;
        add(&mut self.old, Some(i128::from(old.picopax())))?;
        add(&mut self.new, Some(i128::from(new.picopax())))?;
        add(&mut self.old_usd, value(old, old_usd))?;
        add(&mut self.new_usd, value(new, new_usd))
    }

    fn row(&self, name: &str) -> Row {
        Row {
            name: name.to_owned(),
            entries: self.entries,
            old_pax: scaled(self.old),
            new_pax: scaled(self.new),
            change_pax: scaled(self.new - self.old),
            change: change(self.old, self.new).map(per_cent),
            old_usd: scaled(rounded(self.old_usd)),
            new_usd: scaled(rounded(self.new_usd)),
            change_usd: change(self.old_usd, self.new_usd).map(per_cent),
        }
    }
}

/// 10⁻²⁴ as 10⁻¹², half up.
fn rounded(value: i128) -> i128 {
    value.saturating_add(500_000_000_000).div_euclid(1_000_000_000_000)
}

/// 10⁻¹² as a decimal.
fn scaled(units: i128) -> String {
    let (sign, units) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    format!("{sign}{}.{:012}", units / 1_000_000_000_000, units % 1_000_000_000_000)
}

/// Which entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Period {
    /// Of this day and later.
    pub since: Option<UtcDay>,
    /// Of this day and earlier.
    pub until: Option<UtcDay>,
}

/// Reprices a period's entries under a card. `bundle` has the cards that priced them.
///
/// # Errors
/// If the ledger cannot be read, or names a card that the bundle does not have.
pub fn reprice(database: &str, period: Period, card: &RateCard, bundle: &Bundle) -> Result<Revenue, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| Failed::at("starting", why))?;
    runtime.block_on(async {
        let location = Location::parse(database).map_err(|why| Failed(why.to_string()))?;
        let store = Store::open(&location, Open::Read).await.map_err(|why| Failed(why.to_string()))?;
        let mut sums = Sums::new(card, bundle);
        let filter = EntryFilter { since: period.since, until: period.until, ..EntryFilter::default() };
        let mut last: Option<StoredEntry> = None;
        loop {
            let page = store.entries(&filter, last.as_ref(), PAGE_ENTRIES).await;
            let page = page.map_err(|why| Failed(why.to_string()))?;
            for entry in &page {
                sums.entry(entry)?;
            }
            last = match page.into_iter().last() {
                Some(entry) => Some(entry),
                None => break,
            };
        }
        store.close().await;
        Ok(sums.revenue(period))
    })
}

struct Sums<'a> {
    card: &'a RateCard,
    bundle: &'a Bundle,
    total: Sum,
    models: BTreeMap<String, Sum>,
    accounts: BTreeMap<String, Sum>,
    refused: BTreeMap<(String, String), (u64, i128)>,
    byo: u64,
    other: u64,
}

impl<'a> Sums<'a> {
    fn new(card: &'a RateCard, bundle: &'a Bundle) -> Self {
        Self {
            card,
            bundle,
            total: Sum::default(),
            models: BTreeMap::new(),
            accounts: BTreeMap::new(),
            refused: BTreeMap::new(),
            byo: 0,
            other: 0,
        }
    }

    fn entry(&mut self, entry: &StoredEntry) -> Result<(), Failed> {
        let Ok(debit) = Debit::from_canonical(&entry.canonical) else {
            self.other += 1;
            return Ok(());
        };
        if debit.funding != Funding::Platform {
            self.byo += 1;
            return Ok(());
        }
        let Some(own) = self.bundle.by_sha256(&debit.card_sha256) else {
            return Err(Failed(format!(
                "entry {} was priced by version {} with another hash than the cards here have: take the folder that \
                 the gateway was built from",
                debit.exchange_id, debit.rate_table_v
            )));
        };
        let new = match self.price(&debit) {
            Ok(new) => new,
            Err(why) => {
                let refused = self.refused.entry((debit.model.clone(), why)).or_default();
                refused.0 += 1;
                refused.1 += i128::from(debit.cost_pax.picopax());
                return Ok(());
            }
        };
        for sum in [
            &mut self.total,
            self.models.entry(debit.model.clone()).or_default(),
            self.accounts.entry(debit.account.clone()).or_default(),
        ] {
            sum.add(debit.cost_pax, new, own.pax_usd, self.card.pax_usd)?;
        }
        Ok(())
    }

    fn price(&self, debit: &Debit) -> Result<Pax, String> {
        let model = self.card.models.get(&debit.model).filter(|model| model.mode == debit.mode);
        let model = model.ok_or_else(|| "is not in the new card".to_owned())?;
        let tier = debit.service_tier.as_deref();
        let was_unpriced = debit.flags.contains(&Flag::ServiceTierUnpriced);
        let is_unpriced = |name: &&str| !was_unpriced && !model.service_tiers.contains_key(*name);
        if let Some(name) = tier.filter(is_unpriced) {
            return Err(format!("service tier {name} is not priced by the new card"));
        }
        let cost = match debit.canon_v {
            1 => model.price(&debit.usage(), tier),
            _ => debit.charge(model).map_err(|bad| bad.to_string())?,
        };
        cost.ok_or_else(|| "costs more than there is PAX".to_owned())
    }

    fn revenue(self, period: Period) -> Revenue {
        let refused = self.refused.into_iter().map(|((model, why), (entries, picopax))| Refused {
            model,
            why,
            entries,
            old_pax: scaled(picopax),
        });
        Revenue {
            since: period.since.map(|day| day.to_string()),
            until: period.until.map(|day| day.to_string()),
            total: self.total.row(""),
            models: rows(self.models),
            accounts: rows(self.accounts),
            refused: refused.collect(),
            byo: self.byo,
            other: self.other,
        }
    }
}

/// The largest difference first, then by name.
fn rows(sums: BTreeMap<String, Sum>) -> Vec<Row> {
    let mut sums: Vec<(String, Sum)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse((sum.new - sum.old).unsigned_abs()));
    sums.iter().map(|(name, sum)| sum.row(name)).collect()
}
