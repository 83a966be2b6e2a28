//! The desk: the accounts' pages that a transaction has open, and the one way in which an entry gets into the book.

use std::collections::{HashMap, HashSet};

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::pax::Pax;

use super::statements::{Opened, Statements, WhichLots, is_refused};
use crate::book::{Effect, Entry, Link, Made, OnLots, Page, PostedHold, effect};

/// The open pages of a transaction: that of each account that it touches, or why there is none.
pub(super) struct Desk<'a> {
    pub(super) statements: Statements<'a>,
    pages: HashMap<String, Result<OpenPage, String>>,
    /// When the entries of the transaction are recorded.
    pub(super) now: Moment,
    /// What open holds had set aside from the balance by then, if the entry was recorded before, in another file of this
    /// ledger: a lot that kept this much for them keeps it now.
    pub(super) held_then: Pax,
}

pub(super) struct OpenPage {
    pub(super) page: Page,
    /// The days whose total was looked up, even if there was none; with a token, those of its totals.
    days: HashSet<UtcDay>,
    tokens: HashSet<(String, UtcDay)>,
    /// Which of its lots were looked up.
    lots: Option<WhichLots>,
    touched: bool,
    /// The key of the action that has closed the account.
    closed_by: Option<String>,
    /// Whether what open holds set aside has changed.
    pub(super) held_changed: bool,
}

/// The hold that an entry posts.
#[derive(Clone, Debug, Default)]
pub(super) struct Posts {
    /// What the posting says of it.
    pub(super) hold: Option<PostedHold>,
    /// What it sets aside from the balance until the entry is made.
    pub(super) own: Pax,
    /// What it had set aside by then, if the entry was recorded before, in another file of this ledger.
    pub(super) own_then: Pax,
}

impl<'a> Desk<'a> {
    /// A desk without open pages.
    pub(super) fn new(statements: Statements<'a>, now: Moment) -> Self {
        Self { statements, pages: HashMap::new(), now, held_then: Pax::ZERO }
    }

    /// Makes an entry of its account's chain, or tells why it cannot become one. Expiries that are due come before it,
    /// and those that it makes due come after it.
    pub(super) fn enter(
        &mut self,
        entry: Entry<'_>,
        canonical: &[u8],
        posts: &Posts,
    ) -> Result<Result<Link, String>, rusqlite::Error> {
        let (account, effect) = (entry.account(), effect(entry));
        if let Err(why) = self.open_for(account, entry.utc_day(), &effect)? {
            return Ok(Err(why));
        }
        if effect.lots != OnLots::None {
            let held_then = self.held_then;
            self.held_then = held_then.checked_add(posts.own_then).unwrap_or(Pax::MAX);
            let expired = self.expire_due(account)?;
            self.held_then = held_then;
            if let Err(why) = expired {
                return Ok(Err(why));
            }
        }
        // The lots have kept the hold's amount for this entry until now.
        let held = self.held(account);
        self.set_held(account, held.checked_sub(posts.own).unwrap_or_default());
        let chained = self.chain(account, (entry, &effect, posts.hold.clone()), canonical)?;
        match chained {
            Ok(_) if effect.lots != OnLots::None || posts.own > Pax::ZERO => self.post_due(account)?,
            Ok(_) => {}
            Err(_) => self.set_held(account, held),
        }
        Ok(chained)
    }

    /// What open holds set aside from the balance of an account whose page is open.
    pub(super) fn held(&self, account: &str) -> Pax {
        self.page(account).map(|open| open.page.held).unwrap_or_default()
    }

    pub(super) fn set_held(&mut self, account: &str, held: Pax) {
        if let Some(Ok(open)) = self.pages.get_mut(account)
            && open.page.held != held
        {
            open.page.held = held;
            open.held_changed = true;
        }
    }

    /// Posts the expiries of an account whose lots are open here.
    fn expire_due(&mut self, account: &str) -> Result<Result<(), String>, rusqlite::Error> {
        let held = self.held(account).max(self.held_then);
        while let Some(due) = self.page(account).and_then(|open| open.page.due(held, self.now)) {
            let made = Made::Expiry(due);
            let entry = Entry::Made(&made);
            if let Err(why) = self.chain(account, (entry, &effect(entry), None), &made.canonical())? {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    /// Posts the expiries of an account that are due.
    pub(super) fn expire(&mut self, account: &str) -> Result<Result<(), String>, rusqlite::Error> {
        let day = self.now.day();
        if let Err(why) = self.open(account, day)? {
            return Ok(Err(why));
        }
        let Some(open) = self.page(account) else { return Ok(Ok(())) };
        let (is_loaded, now) = (open.lots.is_some(), self.now.max(open.page.recorded_at));
        if !is_loaded {
            // Most accounts have no such lot, and then their lots need not be read.
            if !self.statements.has_due_lot(account, now)? {
                return Ok(Ok(()));
            }
            let effect = Effect { balance: Pax::ZERO, spent: None, lots: OnLots::Draw(Pax::ZERO) };
            if let Err(why) = self.open_for(account, day, &effect)? {
                return Ok(Err(why));
            }
        }
        self.expire_due(account)
    }

    /// Posts what has become due by something that is done: expiries, and the payout of a closed account. What is done stays
    /// done if they cannot be posted.
    pub(super) fn post_due(&mut self, account: &str) -> Result<(), rusqlite::Error> {
        let posted = match self.expire(account)? {
            Ok(()) => self.pay_out(account)?.map(|_| ()),
            refused => refused,
        };
        if let Err(why) = posted {
            tracing::error!(account, why, "what is over or paid out could not be taken out of the balance");
        }
        Ok(())
    }

    /// Pays out what an account has left whose page is open, if it is closed and no open hold needs it. Gives how much.
    pub(super) fn pay_out(&mut self, account: &str) -> Result<Result<Pax, String>, rusqlite::Error> {
        let due = self.page(account).and_then(|open| {
            open.page.payout(open.closed_by.as_deref()?, open.page.held.max(self.held_then), self.now)
        });
        let Some(due) = due else { return Ok(Ok(Pax::ZERO)) };
        let (amount, made) = (due.amount_pax, Made::Payout(due));
        let entry = Entry::Made(&made);
        let effect = effect(entry);
        if let Err(why) = self.open_for(account, self.now.day(), &effect)? {
            return Ok(Err(why));
        }
        Ok(self.chain(account, (entry, &effect, None), &made.canonical())?.map(|_| amount))
    }

    /// The key of the action that has closed an account whose page is open.
    pub(super) fn closed_by(&self, account: &str) -> Option<&str> {
        self.page(account)?.closed_by.as_deref()
    }

    fn chain(
        &mut self,
        account: &str,
        (entry, effect, hold): (Entry<'_>, &Effect<'_>, Option<PostedHold>),
        canonical: &[u8],
    ) -> Result<Result<Link, String>, rusqlite::Error> {
        let Some(Ok(open)) = self.pages.get_mut(account) else { return Ok(Err(no_account(account))) };
        let held = open.page.held.max(self.held_then);
        let link = match open.page.link(effect, (hold, held), canonical, self.now) {
            Ok(link) => link,
            Err(why) => return Ok(Err(why)),
        };
        match self.statements.insert(entry, canonical, &link) {
            Ok(()) => {
                open.page.add(effect, &link);
                open.touched = true;
                Ok(Ok(link))
            }
            // There is such an entry already; or, if there is none, the database was changed by hand. The other lines
            // of the batch must not wait for that.
            Err(error) if is_refused(&error) => {
                Ok(Err(format!("the database refused the entry: {error}; run `pax-ledger replay`")))
            }
            Err(error) => Err(error),
        }
    }

    fn page(&self, account: &str) -> Option<&OpenPage> {
        self.pages.get(account)?.as_ref().ok()
    }

    /// Opens the account's page, with the total of the day.
    pub(super) fn open(
        &mut self,
        account: &str,
        day: UtcDay,
    ) -> Result<Result<&mut OpenPage, String>, rusqlite::Error> {
        if !self.pages.contains_key(account) {
            let page = match self.statements.open(account, day)? {
                Opened::Page(page, closed_by) => Ok(OpenPage {
                    page: *page,
                    closed_by,
                    days: HashSet::from([day]),
                    tokens: HashSet::new(),
                    lots: None,
                    touched: false,
                    held_changed: false,
                }),
                Opened::Nothing => Err(no_account(account)),
                Opened::Damaged => {
                    Err(format!("the chain of account {account:?} is damaged: run `pax-ledger replay`"))
                }
            };
            self.pages.insert(account.to_owned(), page);
        }
        let open = match self.pages.get_mut(account) {
            Some(Ok(open)) => open,
            Some(Err(why)) => return Ok(Err(why.clone())),
            None => return Ok(Err(no_account(account))),
        };
        if open.days.insert(day)
            && let Some(spent) = self.statements.spent(account, day)?
        {
            open.page.days.insert(day, spent);
        }
        Ok(Ok(open))
    }

    /// Opens the account's page, with all that an entry of this effect changes.
    fn open_for(
        &mut self,
        account: &str,
        day: UtcDay,
        effect: &Effect<'_>,
    ) -> Result<Result<(), String>, rusqlite::Error> {
        if let Err(why) = self.open(account, day)? {
            return Ok(Err(why));
        }
        let Some(Ok(open)) = self.pages.get_mut(account) else { return Ok(Err(no_account(account))) };
        if let Some(spent) = effect.spent {
            let key = (spent.token_id.to_owned(), spent.utc_day);
            if !open.tokens.contains(&key) {
                if let Some(sum) = self.statements.spent_with(account, spent.token_id, spent.utc_day)? {
                    open.page.tokens.insert(key.clone(), sum);
                }
                open.tokens.insert(key);
            }
        }
        let wanted = match effect.lots {
            OnLots::None => return Ok(Ok(())),
            // An empty lot gives nothing and never expires.
            OnLots::Draw(_) | OnLots::Grant(_) => WhichLots::NotEmpty,
            OnLots::PutBack(_) | OnLots::Correct { .. } | OnLots::Expire { .. } => WhichLots::All,
        };
        if open.lots.is_none_or(|has| has < wanted) {
            // What this transaction has done to the lots must be among what is read.
            self.statements.save_lots(&open.page)?;
            open.page.lots = self.statements.lots(account, wanted)?;
            open.lots = Some(wanted);
        }
        Ok(Ok(()))
    }

    /// Writes the heads, sums and lots of the pages that have new entries, and what is held on those where that changed.
    pub(super) fn save(&mut self) -> Result<(), rusqlite::Error> {
        for (account, page) in &self.pages {
            let Ok(OpenPage { page, touched, held_changed, .. }) = page else { continue };
            if *touched {
                self.statements.save(account, page)?;
                self.statements.save_lots(page)?;
            }
            if *held_changed {
                self.statements.save_held(account, page.held)?;
            }
        }
        Ok(())
    }

    /// The balance of an account whose page is open; the nearest amount.
    pub(super) fn balance(&self, account: &str) -> Pax {
        self.page(account).map(|open| open.page.balance.nearest()).unwrap_or_default()
    }

    /// Enters an entry that the ledger has made.
    pub(super) fn make(&mut self, made: &Made) -> Result<Result<Link, String>, rusqlite::Error> {
        self.enter(Entry::Made(made), &made.canonical(), &Posts::default())
    }
}

fn no_account(account: &str) -> String {
    format!("there is no account {account:?}")
}
