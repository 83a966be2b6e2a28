//! Stories of holds: each line is a step, an arrow, and the answer that it must get. After every step a replay finds
//! nothing.
//!
//! ```text
//! @MS STEP -> ANSWER                           at this many milliseconds; if there is none, as the step before
//! grant KEY AMOUNT [until MS]                  the balance
//! hold N AMOUNT [free|byo|cap=AMOUNT|envoy=E]  the outcome, and what is held if it is held
//! debit N [free]  |  charge N                  the outcome, its hold, what others hold
//! void N [of=ACCOUNT]                          the outcome
//! lapse | expire | prune | expire-all          how many, or nothing
//! lease E | renew-all | status S | revoke      ok
//! close                                        what was paid out, what is left, what is held
//! state N | rows | lots | held                 what is there
//! ```

use pax_gateway::base::account::{Funding, Status, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{DebitOutcome, HoldOutcome, HoldReply, Void};
use pax_gateway::debit::frozen::{Debit, Ending};
use pax_ledger::book::{Line, Made, Posting};
use pax_ledger::store::{EntryFilter, NewToken, Store, Writer};

use super::common::debits::{DAY_0, estimated, exchange, reported};
pub use super::common::debits::{ENVOY, hold_body};
pub use super::common::granting::pax;
use super::common::{Folder, act_at, bytes, granting, replayed};

pub const TOKEN: &str = "tok_0123456789abcdef";
const TOKEN_OF_FREE: &str = "tok_free";

/// A moment of the tests: some minutes after all their exchanges began.
pub fn at(ms: u64) -> Moment {
    Moment::from_ms(DAY_0 + 1_000_000 + ms)
}

/// The account and tier of a call; its token is the account's.
fn owned(mut debit: Debit, tier: Tier) -> Debit {
    if tier == Tier::Free {
        (debit.account, debit.token_id) = ("free".to_owned(), TOKEN_OF_FREE.to_owned());
    }
    debit
}

/// The true debit of call `n`.
pub fn true_debit(n: u64, tier: Tier) -> Debit {
    owned(reported(n, "credit", tier), tier)
}

/// The debit with which call `n` is charged if it is lost.
pub fn lost_debit(n: u64, tier: Tier) -> Debit {
    assert_eq!(n % 2, 0, "debits of odd numbers have no holds");
    let mut debit = owned(estimated(n, "credit", tier), tier);
    debit.ending = Ending::Lost;
    debit.hold_id = Some(debit.exchange_id.to_string());
    debit
}

/// A hold, or why it is none.
pub fn hold_of(
    lost: &Debit,
    hold: &str,
    cap: &str,
    envoy: &str,
) -> Result<pax_ledger::book::hold::Hold, String> {
    pax_ledger::book::hold::Hold::read(&hold_body(lost, hold, cap, envoy))
}

/// A ledger with the accounts `free` and `credit`, and a token of each.
pub struct Ledger {
    pub folder: Folder,
    pub store: Store,
    pub writer: Writer,
    pub now: Moment,
}

impl Ledger {
    pub async fn new() -> Self {
        Self::in_folder(Folder::new()).await
    }

    pub async fn in_folder(folder: Folder) -> Self {
        let store = folder.store().await;
        for (name, tier, token_id) in [("credit", Tier::Credit, TOKEN), ("free", Tier::Free, TOKEN_OF_FREE)] {
            assert!(store.create_account(&act_at(at(0)), name, tier, None).await.unwrap().is_some());
            let token = NewToken {
                token_id: token_id.to_owned(),
                account: name,
                label: "a test",
                sha256: pax_gateway::base::digest::Digest::of(&[name.as_bytes()]),
                is_given: true,
                expires_at: None,
            };
            assert!(store.add_token(&act_at(at(0)), &token).await.unwrap().is_some());
        }
        let writer = store.writer();
        Self { folder, store, writer, now: at(0) }
    }

    /// A ledger that is there already.
    pub async fn of(folder: Folder) -> Self {
        let store = folder.store().await;
        let writer = store.writer();
        Self { folder, store, writer, now: at(0) }
    }

    /// Closes the ledger, so that its file can be copied.
    pub async fn closed(self) -> Folder {
        self.writer.close().await;
        self.store.close().await;
        super::common::tampering::fold(&self.folder).await;
        self.folder
    }

    /// Goes through a story.
    pub async fn tell(&mut self, story: &str) {
        for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (step, expected) = line.split_once("->").unwrap_or_else(|| panic!("no answer in {line:?}"));
            let said = self.step(step.trim()).await;
            assert_eq!(said, expected.trim(), "{step}");
            let (_, found) = replayed(&self.store).await;
            assert!(found.is_empty(), "after {step}: {found:?}");
        }
    }

    /// Does a step; gives the answer.
    pub async fn step(&mut self, step: &str) -> String {
        let mut words: Vec<&str> = step.split_whitespace().collect();
        if let Some(ms) = words[0].strip_prefix('@') {
            self.now = at(ms.parse().unwrap());
            words.remove(0);
        }
        let number = |index: usize| words[index].parse::<u64>().unwrap();
        let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
        let tier = if words.contains(&"free") { Tier::Free } else { Tier::Credit };
        match words[0] {
            "grant" => {
                let until = words.get(4).map(|ms| at(ms.parse().unwrap()));
                self.grant(words[1], words[2], until).await
            }
            "hold" => {
                let mut lost = lost_debit(number(1), tier);
                if words.contains(&"byo") {
                    (lost.funding, lost.cost_pax) = (Funding::Byo, Pax::ZERO);
                }
                let cap = option("cap=").unwrap_or("5");
                let hold = hold_of(&lost, words[2], cap, option("envoy=").unwrap_or(ENVOY));
                match hold {
                    Err(why) => format!("rejected: {why}"),
                    Ok(hold) => told(&self.writer.hold(&vec![hold].into(), 0, self.now).await.unwrap()[0]),
                }
            }
            "debit" => self.record(Line::read(&bytes(&true_debit(number(1), tier)))).await,
            "charge" => {
                let kept = self.store.hold(&exchange(number(1)).to_string()).await.unwrap().unwrap().lost;
                self.record(Line::read(&kept.unwrap())).await
            }
            "void" => {
                let account = option("of=").unwrap_or("credit").to_owned();
                let void = Void { void: exchange(number(1)), account };
                self.record(Line::read(&serde_json::to_vec(&void).unwrap())).await
            }
            "lapse" => self.writer.expire_holds(self.now).await.unwrap().to_string(),
            "expire-all" => self.writer.expire_all_holds(self.now).await.unwrap().to_string(),
            "prune" => self.writer.prune(self.now).await.unwrap().to_string(),
            "expire" => ok(self.writer.expire(self.now).await),
            "lease" => ok(self.writer.renew(vec![words[1].to_owned()], self.now).await),
            "renew-all" => ok(self.writer.renew_all(self.now, false).await),
            "clock-set" => ok(self.writer.renew_all(self.now, true).await),
            "status" => {
                let status = if words[1] == "active" { Status::Active } else { Status::Disabled };
                ok(self.store.set_status(&act_at(self.now), "credit", status).await)
            }
            "close" => {
                let act = granting::keyed("close", self.now);
                let closed = self.store.close_account(&act, "credit").await.unwrap().unwrap().reply;
                let [paid, balance, held] =
                    [closed.paid_out_pax, closed.balance_pax, closed.held_pax].map(Pax::short);
                format!("paid {paid}, balance {balance}, held {held}")
            }
            "revoke" => ok(self.store.revoke_token(&act_at(self.now), TOKEN).await),
            "state" => match self.store.hold(&exchange(number(1)).to_string()).await.unwrap() {
                Some(row) => row.state.name().to_owned(),
                None => "none".to_owned(),
            },
            "rows" => self.rows().await,
            "lots" => {
                let lots = self.store.snapshot().await.unwrap().lots("credit").await.unwrap();
                joined(
                    lots.iter().map(|lot| format!("{} {}/{}", lot.key, lot.rest.short(), lot.amount.short())),
                )
            }
            "held" => self.held(if tier == Tier::Free { "free" } else { "credit" }).await,
            other => panic!("no step {other:?}"),
        }
    }

    async fn grant(&self, key: &str, amount: &str, expires_at: Option<Moment>) -> String {
        granting::grant(&self.store, key, amount, expires_at, self.now).await.short()
    }

    async fn record(&mut self, line: Line) -> String {
        let reply = self.writer.record(&vec![line].into(), self.now).await.unwrap().remove(0);
        match reply.outcome {
            DebitOutcome::Recorded => {
                let filter =
                    EntryFilter { exchange: Some(reply.exchange_id.clone()), ..EntryFilter::default() };
                let entry = self.store.entries(&filter, None, 1).await.unwrap().remove(0);
                let posting = Posting::read(entry.posting.as_deref().unwrap()).unwrap();
                let hold = posting.hold.map_or_else(
                    || "no hold".to_owned(),
                    |hold| {
                        let late = if hold.late { ", late" } else { "" };
                        let overrun = if hold.overrun { ", overrun" } else { "" };
                        format!("hold {}{late}{overrun}", hold.held_pax.short())
                    },
                );
                format!("recorded; {hold}; others {}", posting.held_pax.short())
            }
            other => {
                let message = reply.message.map(|message| format!(": {message}")).unwrap_or_default();
                format!("{other:?}{message}").to_lowercase()
            }
        }
    }

    /// What the entries of account `credit` do to its balance.
    async fn rows(&self) -> String {
        let filter = EntryFilter { account: Some("credit".to_owned()), ..EntryFilter::default() };
        let entries = self.store.entries(&filter, None, 1_000).await.unwrap();
        joined(entries.iter().map(|entry| match Made::read(&entry.canonical) {
            Ok(made) => format!("{} {}", made.kind(), made.amount().short()),
            Err(_) => format!("debit -{}", Debit::from_canonical(&entry.canonical).unwrap().cost_pax.short()),
        }))
    }

    /// What is held from the balance, on the day, and with the token on the day.
    async fn held(&self, account: &str) -> String {
        let mut snapshot = self.store.snapshot().await.unwrap();
        let balance = snapshot.account(account).await.unwrap().unwrap().held;
        let day = snapshot.day_totals(account).await.unwrap().first().map_or(Pax::ZERO, |day| day.held);
        let token = snapshot.token_days(account).await.unwrap().first().map_or(Pax::ZERO, |day| day.held);
        [balance, day, token].map(Pax::short).join(" ")
    }
}

fn told(reply: &HoldReply) -> String {
    match (reply.outcome, &reply.message) {
        (HoldOutcome::Held, _) => format!("held {}", reply.held_pax.short()),
        (_, Some(message)) => format!("rejected: {message}"),
        (outcome, None) => format!("{outcome:?}"),
    }
}

fn ok<T, E: std::fmt::Debug>(done: Result<T, E>) -> String {
    done.unwrap();
    "ok".to_owned()
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
