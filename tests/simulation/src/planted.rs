//! The planted bugs of the port: what a VM writes comes to shared data in another order, or not at all.

use std::borrow::Cow;

use pax_gateway::base::clock::Now;
use pax_gateway::base::exchange_id::ExchangeId;

use crate::Fault;
use crate::event::Question;
use crate::memory::{CELLS, ENVOY, GOES_ON, HOLD_RECORD, LANES, exchange_of, read_debit, recorded};
use crate::outside::Shared;
use crate::provider::OWN_KEY;
use crate::world::World;

impl World {
    /// What is told to somebody. A planted bug: the caller's key with it.
    pub(crate) fn tells<'t>(&self, planted: Fault, text: Cow<'t, str>) -> Cow<'t, str> {
        if self.fault == planted { Cow::Owned(format!("{text} {OWN_KEY}")) } else { text }
    }

    /// Debits on their way. A planted bug: those that somebody knows already are made anew.
    pub(crate) fn remade(
        &self,
        planted: Fault,
        line: &[u8],
        is_known: impl Fn(&ExchangeId) -> bool,
    ) -> Vec<u8> {
        let is_remade = self.fault == planted && exchange_of(line).parse().is_ok_and(|id| is_known(&id));
        if !is_remade {
            return line.to_vec();
        }
        String::from_utf8_lossy(line)
            .replace("\"service_tier\":null", "\"service_tier\":\"remade\"")
            .into_bytes()
    }
}

impl Shared<'_> {
    /// A planted bug: an acknowledged debit is sent under other bytes.
    pub(crate) fn remade_question(&self, question: Question) -> Question {
        let truth = self.world.truth.borrow();
        let is_known = |id: &ExchangeId| truth.acknowledged.contains_key(id);
        match question {
            Question::Debits(lines) => {
                let remade = |line: &Vec<u8>| self.world.remade(Fault::RemadeAcknowledged, line, is_known);
                Question::Debits(lines.iter().map(remade).collect())
            }
            other => other,
        }
    }

    /// A planted bug: the number that an Envoy's worker draws is known to that worker alone.
    pub(crate) fn is_untold_number(&self, key: &str) -> bool {
        self.world.fault == Fault::ManyNumbers && key == ENVOY
    }

    /// A cell is emptied by a planted bug.
    fn empty(&self, key: &str, before: &[u8]) {
        self.memory().write(key, &[], 0);
        self.wrote(key, before, &[]);
    }

    /// A planted bug: a call's record goes before its debit is in the cell.
    pub(crate) fn clear_too_early(&self, key: &str, value: &[u8]) {
        let record = self.memory().read(key).filter(|held| recorded(held).is_some());
        if let Some(record) = record
            && self.world.fault == Fault::EarlyClear
            && key.starts_with(CELLS)
            && read_debit(value).is_some()
        {
            self.empty(key, &record);
            self.world.before_an_operation(self.site);
        }
    }

    /// A planted bug: a debit's cell is emptied when the debit is sent, and not when it is acknowledged.
    pub(crate) fn empty_too_early(&self, lines: &[Vec<u8>]) {
        if self.world.fault != Fault::EarlyEmpty {
            return;
        }
        let mut sent = Vec::new();
        self.memory().each(CELLS, |rest, held| {
            if read_debit(held).is_some_and(|debit| lines.iter().any(|line| line == debit)) {
                sent.push((format!("{CELLS}{rest}"), held.to_vec()));
            }
        });
        sent.iter().for_each(|(key, held)| self.empty(key, held));
    }

    /// A planted bug: the sweeping VM keeps a dead VM's debit in its own memory alone.
    pub(crate) fn is_uncopied(&self, key: &str, value: &[u8]) -> bool {
        let debit =
            read_debit(value).filter(|_| self.world.fault == Fault::Uncopied && key.starts_with(CELLS));
        let id = debit.and_then(|debit| exchange_of(debit).parse::<ExchangeId>().ok());
        id.is_some_and(|id| self.world.truth.borrow_mut().call(&id).is_some_and(|call| call.vm != self.vm))
    }

    /// What comes into a cell. A planted bug: the record of a call that waits for its hold says that it goes on.
    pub(crate) fn says_goes_on<'v>(&self, key: &str, value: &'v [u8]) -> Cow<'v, [u8]> {
        let mut value = Cow::Borrowed(value);
        if self.world.fault == Fault::EarlyGoesOn
            && key.starts_with(CELLS)
            && value.first() == Some(&HOLD_RECORD)
        {
            value.to_mut()[GOES_ON] = 1;
        }
        value
    }

    /// A planted bug: a VM reads the clocks once a callback, and so does not see that its thread stood still.
    pub(crate) fn stopped_clock(&self) -> Option<Now> {
        if self.world.fault != Fault::StoppedClock {
            return None;
        }
        let first = self.seen.first.get().unwrap_or_else(|| self.world.clock(self.site));
        self.seen.first.set(Some(first));
        Some(first)
    }

    /// A planted bug: no watcher hears what a VM says of its being alive.
    pub(crate) fn is_unheard_beat(&self, key: &str, value: &[u8]) -> bool {
        let is_ours = |known: &[u8]| known.len() > 16 && known.get(..8) == value.get(..8);
        self.world.fault == Fault::UnheardBeat
            && key.starts_with(LANES)
            && self.memory().read(key).is_some_and(|known| is_ours(&known))
    }
}
