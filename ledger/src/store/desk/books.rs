//! What the desk asks of a database, and tells it. All of it happens in one transaction, in which nobody else changes
//! what is asked for.

use pax_gateway::base::account::Status;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;

use crate::book::hold::Hold;
use crate::book::made::Made;
use crate::book::{Entry, Link, Lots, Page, Rejected, Sum};
use crate::store::{Corrects, HoldRow, HoldState};

/// Why the database did not answer: then the transaction ends, and nothing was done.
#[derive(Debug)]
pub(in crate::store) enum Fault {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// Something is asked for that was not read before the work began. It is noted; the work is begun anew once it is read.
    Unread,
    /// A row has values that the ledger never writes, or cannot hold one that it should.
    Unreadable(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            Self::Unread => f.write_str("it was not read before"),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// An answer of the database.
pub(in crate::store) type Answer<T> = Result<T, Fault>;

/// Whether an exchange has an entry.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Found {
    /// It has none.
    Nothing,
    /// It has one of the same bytes.
    Same {
        /// The entry's number in its account.
        account_seq: i64,
    },
    /// It has one of other bytes.
    Other {
        /// The entry's number in its account.
        account_seq: i64,
    },
}

/// An account's page, looked up.
#[derive(Debug)]
pub(in crate::store) enum Opened {
    /// There is no such account.
    Nothing,
    /// The head of its chain is no hash.
    Damaged,
    /// Its page, with the total of the day that was asked for; and the key of the action that has closed the account.
    Page(Box<Page>, Option<String>),
}

/// Which lots of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum WhichLots {
    /// Those of which something is left.
    NotEmpty,
    /// All.
    All,
}

/// What a hold's transaction reads of its account and token, beside the account's page.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Admitting {
    pub(in crate::store) status: Status,
    pub(in crate::store) daily_cap: Option<Pax>,
    pub(in crate::store) is_token_good: bool,
}

/// The canonical bytes of a call or a grant, those of its last correction, and of a call those of the correction that
/// embeds the better report.
#[derive(Clone, Debug)]
pub(in crate::store) struct ToBeCorrected {
    pub(in crate::store) original: Vec<u8>,
    pub(in crate::store) last: Option<Vec<u8>>,
    pub(in crate::store) better: Option<Vec<u8>>,
}

impl ToBeCorrected {
    /// The amount after the last correction; none if there is none.
    pub(in crate::store) fn last_amount(&self) -> Result<Option<Pax>, String> {
        match self.last.as_deref().map(Made::read) {
            None => Ok(None),
            Some(Ok(Made::Correction(last))) => Ok(Some(last.now_pax)),
            Some(Ok(_)) => Err("it is no correction".to_owned()),
            Some(Err(why)) => Err(why),
        }
    }

    /// The better report; none if none came.
    pub(in crate::store) fn better_debit(&self) -> Result<Option<Debit>, String> {
        match self.better.as_deref().map(Made::read) {
            None => Ok(None),
            Some(Ok(Made::Correction(better))) => better.better_debit().transpose(),
            Some(Ok(_)) => Err("it is no correction".to_owned()),
            Some(Err(why)) => Err(why),
        }
    }
}

/// The port: SQLite answers by asking its file, PostgreSQL from what was read under the accounts' locks.
pub(in crate::store) trait Books {
    /// The present epoch.
    fn epoch(&mut self) -> Answer<u64>;
    /// Whether the exchange has an entry, and whether that has these bytes.
    fn find(&mut self, exchange_id: &ExchangeId, canonical: &[u8]) -> Answer<Found>;
    /// An account's page, with the total of a day.
    fn open(&mut self, account: &str, day: UtcDay) -> Answer<Opened>;
    /// What an account's entries of a day cost on platform funding; none if there are none.
    fn spent(&mut self, account: &str, day: UtcDay) -> Answer<Option<Sum>>;
    /// What was spent with a token on a day; none if nothing was.
    fn spent_with(&mut self, account: &str, token_id: &str, day: UtcDay) -> Answer<Option<Sum>>;
    /// An account's lots.
    fn lots(&mut self, account: &str, which: WhichLots) -> Answer<Lots>;
    /// Whether an account has a lot which is over, though something is left of it.
    fn has_due_lot(&mut self, account: &str, now: Moment) -> Answer<bool>;
    /// Adds an entry; tells why if the database refuses it.
    fn insert(&mut self, entry: Entry<'_>, canonical: &[u8], link: &Link) -> Answer<Result<(), String>>;
    /// Writes an account's head and sums.
    fn save(&mut self, account: &str, page: &Page) -> Answer<()>;
    /// Writes the lots that a page has.
    fn save_lots(&mut self, page: &Page) -> Answer<()>;
    /// Writes what open holds set aside from an account's balance.
    fn save_held(&mut self, account: &str, held: Pax) -> Answer<()>;
    /// Notes that an account is closed, by the action with a key.
    fn close(&mut self, account: &str, key: &str, at: Moment) -> Answer<()>;
    /// Keeps a line in quarantine, unless it is there already.
    fn quarantine(
        &mut self,
        line: &Rejected,
        exchange_id: Option<&str>,
        reason: &str,
        now: Moment,
    ) -> Answer<()>;
    /// What is to be corrected. None if there is no such call or grant.
    fn corrected(&mut self, what: &Corrects) -> Answer<Option<ToBeCorrected>>;
    /// The number, in its account, of the entry with a key.
    fn number_of_key(&mut self, key: &str) -> Answer<Option<i64>>;

    /// The hold of an exchange.
    fn hold(&mut self, exchange: &ExchangeId) -> Answer<Option<HoldRow>>;
    /// Whether no hold can be made for an exchange any more, since it has an entry or was voided.
    fn is_closed(&mut self, exchange: &ExchangeId) -> Answer<bool>;
    /// What decides about a hold of a debit's account beside the account's page. None if there is no such account.
    fn admitting(&mut self, debit: &Debit, now: Moment) -> Answer<Option<Admitting>>;
    /// What open holds of a day set aside.
    fn held_on(&mut self, account: &str, day: UtcDay) -> Answer<Pax>;
    /// Keeps an open hold.
    fn keep_hold(&mut self, hold: &Hold, now: Moment) -> Answer<()>;
    /// Adds to what open holds of a day set aside, for the account and for the token.
    fn hold_on_day(&mut self, day: (&str, &str, UtcDay), picopax: i64) -> Answer<()>;
    /// Gives back what an open hold sets aside on its day. A sum that somebody has made too small becomes zero: a replay
    /// names it, and the call's debit is recorded all the same.
    fn give_back_on_day(&mut self, row: &HoldRow) -> Answer<()>;
    /// Ends a hold, or says of one that has ended how its call was charged in the end.
    fn end_hold(&mut self, row: &HoldRow, state: HoldState, now: Moment) -> Answer<()>;
    /// Notes that no hold can be made for an exchange any more.
    fn bury(&mut self, exchange: &ExchangeId, account: &str, now: Moment) -> Answer<()>;
    /// Renews an Envoy's lease.
    fn renew_lease(&mut self, envoy: &str, now: Moment) -> Answer<()>;
}
