//! The planted bugs of the port: what a VM writes comes to shared data in another order, twice or not at all.

use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::memory::outbox::Writer;

use crate::Fault;
use crate::memory::{LANES, RECORDS, exchange_of, is_slot, read_slot, recorded};
use crate::outside::Shared;

impl Shared<'_> {
    /// A debit that is being put into the outbox.
    fn put<'v>(key: &str, value: &'v [u8]) -> Option<&'v [u8]> {
        let is_put = key.starts_with("pax/outbox/") && is_slot(key);
        read_slot(value).filter(|_| is_put).map(|(_, canonical)| canonical)
    }

    /// A planted bug: a call's record goes before its debit is in the outbox.
    pub(crate) fn clear_too_early(&self, key: &str, value: &[u8]) {
        if self.world.fault != Fault::EarlyClear {
            return;
        }
        let Some(canonical) = Self::put(key, value) else { return };
        let (mut found, id) = (None, exchange_of(canonical).parse::<ExchangeId>().ok());
        self.memory().each(RECORDS, |rest, record| {
            if !record.is_empty() && recorded(record) == id {
                found = Some((format!("{RECORDS}{rest}"), record.to_vec()));
            }
        });
        if let Some((key, record)) = found {
            self.memory().write(&key, &[], 0);
            self.wrote(&key, &record, &[]);
            self.world.before_an_operation(self.site);
        }
    }

    /// A planted bug: no watcher hears what a VM says of its being alive.
    pub(crate) fn is_unheard_beat(&self, key: &str, value: &[u8]) -> bool {
        let is_ours = |known: &[u8]| known.len() > 16 && known.get(..8) == value.get(..8);
        self.world.fault == Fault::UnheardBeat
            && key.starts_with(LANES)
            && self.memory().read(key).is_some_and(|known| is_ours(&known))
    }

    /// A planted bug: the same call once more, under an id of its own.
    pub(crate) fn settle_twice(&self, key: &str, value: &[u8]) {
        let world = self.world;
        if world.fault != Fault::DoubleSettle {
            return;
        }
        let Some(canonical) = Self::put(key, value) else { return };
        let id = exchange_of(canonical);
        let now = world.clock(self.site);
        let again = ExchangeId::new(now.wall, world.random.bytes()).to_string();
        let canonical = String::from_utf8_lossy(canonical).replacen(id, &again, 1);
        let _ = Writer::new().put(self.memory(), None, canonical.as_bytes(), now.tick, || now.tick);
    }
}
