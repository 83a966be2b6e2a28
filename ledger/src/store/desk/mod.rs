//! The desk: the accounts' pages that a transaction has open, and the one way in which an entry gets into the book.

mod books;
mod correcting;
mod holds;
mod later;
mod recording;

pub(super) use self::correcting::{correction, enter, fits};
pub(super) use self::recording::record_each;

use std::collections::{HashMap, HashSet};

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::pax::Pax;

pub(super) use self::books::{Admitting, Answer, Books, Fault, Found, Opened, ToBeCorrected, WhichLots};
use crate::book::{Effect, Entry, Link, Made, OnLots, Page, PostedHold, effect};

/// The open pages of a transaction: that of each account that it touches, or why there is none.
pub(in crate::store) struct Desk<'a> {
    pub(in crate::store) books: &'a mut (dyn Books + 'a),
    pages: HashMap<String, Result<OpenPage, String>>,
    /// When the entries of the transaction are recorded.
    pub(in crate::store) now: Moment,
    /// What open holds had set aside from the balance by then, if the entry was recorded before, in another file of this
    /// ledger: a lot that kept this much for them keeps it now.
    pub(in crate::store) held_then: Pax,
}

pub(in crate::store) struct OpenPage {
    pub(in crate::store) page: Page,
    /// The days whose total was looked up, even if there was none; with a token, those of its totals.
    days: HashSet<UtcDay>,
    tokens: HashSet<(String, UtcDay)>,
    /// Which of its lots were looked up.
    lots: Option<WhichLots>,
    touched: bool,
    /// The key of the action that has closed the account.
    closed_by: Option<String>,
    /// Whether what open holds set aside has changed.
    pub(in crate::store) held_changed: bool,
}

/// The hold that an entry posts.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Posts {
    /// What the posting says of it.
    pub(in crate::store) hold: Option<PostedHold>,
    /// What it sets aside from the balance until the entry is made.
    pub(in crate::store) own: Pax,
    /// What it had set aside by then, if the entry was recorded before, in another file of this ledger.
    pub(in crate::store) own_then: Pax,
}

impl<'a> Desk<'a> {
    /// A desk without open pages.
    pub(in crate::store) fn new(books: &'a mut (dyn Books + 'a), now: Moment) -> Self {
        Self { books, pages: HashMap::new(), now, held_then: Pax::ZERO }
    }

    /// Makes an entry of its account's chain, or tells why it cannot become one. Expiries that are due come before it,
    /// and those that it makes due come after it.
    pub(in crate::store) fn enter(
        &mut self,
        entry: Entry<'_>,
        canonical: &[u8],
        posts: &Posts,
    ) -> Answer<Result<Link, String>> {
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
    pub(in crate::store) fn held(&self, account: &str) -> Pax {
        self.page(account).map(|open| open.page.held).unwrap_or_default()
    }

    pub(in crate::store) fn set_held(&mut self, account: &str, held: Pax) {
        if let Some(Ok(open)) = self.pages.get_mut(account)
            && open.page.held != held
        {
            open.page.held = held;
            open.held_changed = true;
        }
    }

    /// Posts the expiries of an account whose lots are open here.
    fn expire_due(&mut self, account: &str) -> Answer<Result<(), String>> {
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
    pub(in crate::store) fn expire(&mut self, account: &str) -> Answer<Result<(), String>> {
        let day = self.now.day();
        if let Err(why) = self.open(account, day)? {
            return Ok(Err(why));
        }
        let Some(open) = self.page(account) else { return Ok(Ok(())) };
        let (is_loaded, now) = (open.lots.is_some(), self.now.max(open.page.recorded_at));
        if !is_loaded {
            // Most accounts have no such lot, and then their lots need not be read.
            if !self.books.has_due_lot(account, now)? {
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
    pub(in crate::store) fn post_due(&mut self, account: &str) -> Answer<()> {
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
    pub(in crate::store) fn pay_out(&mut self, account: &str) -> Answer<Result<Pax, String>> {
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
    pub(in crate::store) fn closed_by(&self, account: &str) -> Option<&str> {
        self.page(account)?.closed_by.as_deref()
    }

    fn chain(
        &mut self,
        account: &str,
        (entry, effect, hold): (Entry<'_>, &Effect<'_>, Option<PostedHold>),
        canonical: &[u8],
    ) -> Answer<Result<Link, String>> {
        let Some(Ok(open)) = self.pages.get_mut(account) else { return Ok(Err(no_account(account))) };
        let held = open.page.held.max(self.held_then);
        let link = match open.page.link(effect, (hold, held), canonical, self.now) {
            Ok(link) => link,
            Err(why) => return Ok(Err(why)),
        };
        Ok(match self.books.insert(entry, canonical, &link)? {
            Ok(()) => {
                open.page.add(effect, &link);
                open.touched = true;
                Ok(link)
            }
            // There is such an entry already; or, if there is none, the database was changed by hand. The other lines
            // of the batch must not wait for that.
            Err(why) => Err(format!("the database refused the entry: {why}; run `pax-ledger replay`")),
        })
    }

    fn page(&self, account: &str) -> Option<&OpenPage> {
        self.pages.get(account)?.as_ref().ok()
    }

    /// Opens the account's page, with the total of the day.
    pub(in crate::store) fn open(
        &mut self,
        account: &str,
        day: UtcDay,
    ) -> Answer<Result<&mut OpenPage, String>> {
        if !self.pages.contains_key(account) {
            let page = match self.books.open(account, day)? {
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
            && let Some(spent) = self.books.spent(account, day)?
        {
            open.page.days.insert(day, spent);
        }
        Ok(Ok(open))
    }

    /// Opens the account's page, with all that an entry of this effect changes.
    fn open_for(&mut self, account: &str, day: UtcDay, effect: &Effect<'_>) -> Answer<Result<(), String>> {
        if let Err(why) = self.open(account, day)? {
            return Ok(Err(why));
        }
        let Some(Ok(open)) = self.pages.get_mut(account) else { return Ok(Err(no_account(account))) };
        if let Some(spent) = effect.spent {
            let key = (spent.token_id.to_owned(), spent.utc_day);
            if !open.tokens.contains(&key) {
                if let Some(sum) = self.books.spent_with(account, spent.token_id, spent.utc_day)? {
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
            self.books.save_lots(&open.page)?;
            open.page.lots = self.books.lots(account, wanted)?;
            open.lots = Some(wanted);
        }
        Ok(Ok(()))
    }

    /// Writes the heads, sums and lots of the pages that have new entries, and what is held on those where that changed.
    pub(in crate::store) fn save(&mut self) -> Answer<()> {
        for (account, page) in &self.pages {
            let Ok(OpenPage { page, touched, held_changed, .. }) = page else { continue };
            if *touched {
                self.books.save(account, page)?;
                self.books.save_lots(page)?;
            }
            if *held_changed {
                self.books.save_held(account, page.held)?;
            }
        }
        Ok(())
    }

    /// The balance of an account whose page is open; the nearest amount.
    pub(in crate::store) fn balance(&self, account: &str) -> Pax {
        self.page(account).map(|open| open.page.balance.nearest()).unwrap_or_default()
    }

    /// Enters an entry that the ledger has made.
    pub(in crate::store) fn make(&mut self, made: &Made) -> Answer<Result<Link, String>> {
        self.enter(Entry::Made(made), &made.canonical(), &Posts::default())
    }
}

fn no_account(account: &str) -> String {
    format!("there is no account {account:?}")
}
