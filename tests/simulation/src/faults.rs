//! Troubles that come from outside: planned when a run begins, all over when it gets calm.

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;

use crate::Fault;
use crate::event::{Event, Site, What};
use crate::ledger::{Ledger, Token};
use crate::lots::Granted;
use crate::memory::ENVOY;
use crate::provider::secret;
use crate::world::World;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    /// The process of an Envoy is killed, and started again.
    Kill(usize),
    LedgerDown,
    LedgerUp,
    /// The ledger is older than the Envoys, or has caught up with them.
    LedgerBehind(bool),
    /// An Envoy's clock is set, by so many milliseconds.
    Jump(usize, i64),
    /// A worker's thread stands still between two callbacks.
    Nap(Site, u64),
    /// The operator changes an account or a token.
    Change,
    /// The operator grants an account credit.
    Grant,
    /// The operator makes a call cheaper, or corrects a grant.
    Correct,
    /// The ledger is copied, the copy takes its place, and what was lost by that is recorded again.
    BackUp,
    Restore,
    Recover,
    /// An Envoy gets a new configuration: no trouble, but one more thing that may come at any moment.
    Configure(usize),
}

/// How long all has been well by then.
const QUIET_MS: u64 = 25_000;
const HOUR_MS: i64 = 3_600_000;

fn account_name(number: usize) -> String {
    format!("account-{number}")
}

impl World {
    /// Accounts, tokens and workers, and all that will go wrong.
    pub(crate) fn begin(&self) {
        let mut ledger = self.ledger.borrow_mut();
        for number in 0..self.plan.accounts {
            let tier = if self.plan.credit[number] { Tier::Credit } else { Tier::Free };
            ledger.open_account(&account_name(number), tier, Some(self.random_cap()));
            if tier == Tier::Credit && self.random.chance(4, 5) {
                // Some have enough for all of their calls.
                let times = if self.random.chance(1, 2) { 100 } else { 1 };
                self.grant(&mut ledger, number, times);
            }
            for token in 0..2 {
                let name = format!("token-{number}-{token}");
                let digest = Digest::of(&[secret(&name).as_bytes()]).0;
                ledger
                    .tokens
                    .insert(digest, Token { account: account_name(number), id: name, revoked: false });
            }
        }
        drop(ledger);
        self.sites().for_each(|site| self.load(site));
        for site in self.serving_sites() {
            self.push(self.random.between(1, 2 * self.plan.call_ms), Event::Arrival(site));
        }
        self.plan_troubles();
    }

    fn plan_troubles(&self) {
        let (plan, random) = (&self.plan, &self.random);
        let some_time = || random.between(500, plan.chaos_ms);
        let envoy = || usize::try_from(random.below(u64::try_from(plan.envoys).unwrap_or(1))).unwrap_or(0);
        let sites: Vec<Site> = self.sites().collect();
        for _ in 0..plan.kills {
            self.push(some_time(), Event::Happens(Happening::Kill(envoy())));
        }
        for _ in 0..plan.outages {
            let begins = some_time();
            self.push(begins, Event::Happens(Happening::LedgerDown));
            self.push(begins + random.between(500, 15_000), Event::Happens(Happening::LedgerUp));
        }
        for _ in 0..plan.behind {
            let begins = some_time();
            self.push(begins, Event::Happens(Happening::LedgerBehind(true)));
            let ends = begins + random.between(500, 15_000);
            self.push(ends, Event::Happens(Happening::LedgerBehind(false)));
        }
        for _ in 0..plan.jumps {
            let by = match random.below(4) {
                0 => 24 * HOUR_MS,
                1 => random.between(1, 30_000).cast_signed(),
                _ => random.between(1, 6).cast_signed() * HOUR_MS,
            };
            let by = if random.chance(1, 2) { -by } else { by };
            self.push(some_time(), Event::Happens(Happening::Jump(envoy(), by)));
        }
        for _ in 0..plan.naps {
            let nap = Happening::Nap(*random.pick(&sites), random.between(2_000, 16_000));
            self.push(some_time(), Event::Happens(nap));
        }
        for _ in 0..plan.configurations {
            self.push(some_time(), Event::Happens(Happening::Configure(envoy())));
        }
        for _ in 0..plan.changes {
            self.push(some_time(), Event::Happens(Happening::Change));
        }
        for _ in 0..plan.grants {
            self.push(some_time(), Event::Happens(Happening::Grant));
        }
        for _ in 0..plan.corrections {
            self.push(some_time(), Event::Happens(Happening::Correct));
        }
        if plan.restored {
            let copied = random.between(500, plan.chaos_ms - 2_000);
            let restored = random.between(copied, plan.chaos_ms - 1_000);
            let recovered = random.between(restored, plan.chaos_ms - 1);
            self.push(copied, Event::Happens(Happening::BackUp));
            self.push(restored, Event::Happens(Happening::Restore));
            self.push(recovered, Event::Happens(Happening::Recover));
        }
        if plan.long_outage_ms > 0 {
            let begins = random.between(500, plan.chaos_ms - plan.long_outage_ms);
            self.push(begins, Event::Happens(Happening::LedgerDown));
            self.push(begins + plan.long_outage_ms, Event::Happens(Happening::LedgerUp));
        }
    }

    /// Some credit for an account, as much as a handful of calls reserve, or so many times as much.
    fn grant(&self, ledger: &mut Ledger, account: usize, times: i64) {
        let amount = Pax::from_picopax(self.random_cap().picopax() * times);
        let (now, key) = (self.ledgers_clock(), format!("grant-{}", self.number()));
        // Some end while there are calls, two of them at one moment now and then.
        let ends = self.random.chance(1, 2).then(|| {
            let seconds = self.random.between(2, 60);
            Moment::from_ms((now.ms() / 1_000 + seconds) * 1_000)
        });
        ledger.grant(Granted { account: account_name(account), key, amount, ends, at: now }, now);
    }

    /// A cap that a handful of calls reach.
    fn random_cap(&self) -> Pax {
        Pax::from_picopax(self.random.between(150, 900).cast_signed() * 1_000_000)
    }

    pub(crate) fn random_token(&self) -> String {
        if self.random.chance(1, 40) {
            return "nobody's".to_owned();
        }
        let account = self.random.below(u64::try_from(self.plan.accounts).unwrap_or(1));
        format!("token-{account}-{}", self.random.below(2))
    }

    pub(crate) fn happens(&self, happening: Happening) {
        if self.calm.get() && !matches!(happening, Happening::LedgerUp | Happening::Configure(_)) {
            return;
        }
        self.say(|| format!("{happening:?}"));
        match happening {
            Happening::LedgerDown => self.ledger.borrow_mut().down = true,
            Happening::LedgerUp => self.ledger.borrow_mut().down = false,
            Happening::LedgerBehind(behind) => self.ledger.borrow_mut().behind = behind,
            Happening::Kill(envoy) => self.kill(envoy),
            Happening::Jump(envoy, by) => {
                let off = &self.envoys[envoy].clock_off;
                off.set(off.get() + by);
            }
            Happening::Nap(site, ms) => self.worker(site).asleep_until.set(self.time.get() + ms),
            Happening::Change => self.operator_changes_something(),
            Happening::Grant => self.operator_grants_credit(),
            Happening::Correct if self.random.chance(1, 3) => self.operator_corrects_a_grant(),
            Happening::Correct => self.operator_makes_a_call_cheaper(),
            Happening::BackUp => self.ledger.borrow_mut().back_up(),
            Happening::Restore => self.ledger.borrow_mut().restore(self.ledgers_clock()),
            Happening::Recover => self.ledger.borrow_mut().recover(self.ledgers_clock()),
            Happening::Configure(envoy) => self.configure(envoy),
        }
    }

    /// To somebody, or to whoever is below zero.
    fn operator_grants_credit(&self) {
        let mut ledger = self.ledger.borrow_mut();
        let which = self.random.below(u64::try_from(self.plan.accounts).unwrap_or(1));
        let is_below = |number: &usize| ledger.balance(&account_name(*number)) < Pax::ZERO;
        let below = (0..self.plan.accounts).find(is_below);
        let which = below.unwrap_or(usize::try_from(which).unwrap_or(0));
        self.grant(&mut ledger, which, 1);
    }

    /// To more, or to less than it was by what nobody has spent and no hold needs.
    fn operator_corrects_a_grant(&self) {
        let (mut ledger, now) = (self.ledger.borrow_mut(), self.ledgers_clock());
        let is_open = |granted: &&Granted| granted.ends.is_none_or(|end| end > now);
        let open: Vec<Granted> = ledger.credit.granted.values().filter(is_open).cloned().collect();
        if open.is_empty() {
            return;
        }
        let Granted { account, key, amount: was, .. } = self.random.pick(&open).clone();
        let to = if self.random.chance(1, 2) {
            was.checked_add(self.random_cap()).unwrap_or(was)
        } else {
            let held = ledger.held_of_balance(&account);
            let free = ledger.balance(&account).checked_sub(held).unwrap_or_default().min(was);
            let less = self.random.below(u64::try_from(free.picopax()).unwrap_or(0).max(1)).cast_signed();
            was.checked_sub(Pax::from_picopax(less)).unwrap_or(was)
        };
        if to != was {
            ledger.correct_grant(&key, (was, to), now);
        }
    }

    /// At the end of a run: everybody who is below zero gets credit, less than is missing or more.
    pub(crate) fn operator_pays_debts(&self) {
        let mut ledger = self.ledger.borrow_mut();
        for number in 0..self.plan.accounts {
            if ledger.balance(&account_name(number)) < Pax::ZERO {
                self.grant(&mut ledger, number, 1);
            }
        }
    }

    fn operator_makes_a_call_cheaper(&self) {
        let mut ledger = self.ledger.borrow_mut();
        let calls: Vec<_> = ledger.nets.iter().map(|(id, net)| (*id, *net)).collect();
        if !calls.is_empty() {
            let (id, net) = *self.random.pick(&calls);
            let to = self.random.below(u64::try_from(net.picopax()).unwrap_or(0).max(1)).cast_signed();
            ledger.correct(id, Pax::from_picopax(to), self.ledgers_clock());
        }
    }

    /// The workers get it one after another. A VM that begins has it at once.
    fn configure(&self, envoy: usize) {
        let configurations = &self.envoys[envoy].configurations;
        configurations.set(configurations.get() + 1);
        for site in self.sites().filter(|site| site.envoy == envoy) {
            let vm = self.worker(site).number.get();
            self.later(self.random.between(1, 300), site, vm, What::Configure);
        }
    }

    fn kill(&self, envoy: usize) {
        let killed = &self.envoys[envoy];
        for worker in 0..=self.plan.workers {
            self.vm_is_gone(Site { envoy, worker });
        }
        let number = killed.memory.read(ENVOY).filter(|_| self.fault == Fault::KeptNumber);
        killed.memory.forget();
        if let Some(number) = number {
            killed.memory.write(ENVOY, &number, 0);
        }
        killed.metrics.take();
        killed.counted.take();
        killed.lanes.take();
        killed.waits_since.take();
        self.truth.borrow_mut().envoy_was_killed(killed.life.get(), self.time.get(), &self.ledger.borrow());
        killed.life.set(self.number());
    }

    fn operator_changes_something(&self) {
        let mut ledger = self.ledger.borrow_mut();
        let which = self.random.below(u64::try_from(self.plan.accounts).unwrap_or(1));
        let account = account_name(usize::try_from(which).unwrap_or(0));
        let cap = self.random_cap();
        match self.random.below(5) {
            0 => {
                let tokens: Vec<_> = ledger.tokens.keys().copied().collect();
                if let Some(token) = ledger.tokens.get_mut(self.random.pick(&tokens)) {
                    token.revoked = true;
                }
            }
            1 => {
                ledger.accounts.entry(account).and_modify(|it| {
                    it.status = if it.status == Status::Active { Status::Disabled } else { Status::Active };
                });
            }
            2 => ledger.set_cap(&account, Pax::ZERO),
            _ => ledger.set_cap(&account, cap),
        }
    }

    /// From now on all is well: the ledger is there, and nobody dies or stands still. A few callers still come, and some
    /// configurations.
    pub(crate) fn calm_down(&self) {
        self.say(|| "all is well from here on".to_owned());
        self.calm.set(true);
        self.calm_since.set(Some(self.time.get()));
        let mut ledger = self.ledger.borrow_mut();
        (ledger.down, ledger.behind) = (false, false);
        ledger.recover(self.ledgers_clock());
        drop(ledger);
        for site in self.sites() {
            self.worker(site).asleep_until.set(0);
        }
        self.plan_visits();
    }

    /// Once all has been well for a while, callers come around the moment of a configuration.
    fn plan_visits(&self) {
        for envoy in (0..self.plan.envoys).filter(|_| self.random.chance(1, 2)) {
            let at = self.random.between(QUIET_MS, QUIET_MS + 4_000);
            self.push(at, Event::Happens(Happening::Configure(envoy)));
            for site in self.serving_sites().filter(|site| site.envoy == envoy) {
                for _ in 0..self.random.between(0, 4) {
                    self.push(at - 3_000 + self.random.between(0, 4_000), Event::Visit(site));
                }
            }
        }
    }
}
