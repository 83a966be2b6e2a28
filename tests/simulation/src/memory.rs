//! What the core has written into an Envoy's shared data, read by the formats that it documents.

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::worker::fake::Map;

use crate::ledger::version;

/// The keys of accounts' days.
pub(crate) const CAPS: &str = "pax/cap/";
/// The keys of cells.
pub(crate) const CELLS: &str = "pax/2/open/";
/// The keys of lanes.
pub(crate) const LANES: &str = "pax/2/lane/";
/// The key of the number under which the Envoy asks for holds.
pub(crate) const ENVOY: &str = "pax/envoy";

/// An account's day, as its place says (`cap_place.rs`).
#[derive(Debug)]
pub(crate) struct DayThere {
    pub(crate) account: String,
    pub(crate) day: UtcDay,
    pub(crate) spent: i64,
    /// The [`version`] of the last entry that is in it.
    pub(crate) version: u64,
    pub(crate) open: Vec<(u64, i64)>,
    pub(crate) pending: Vec<(u64, i64)>,
}

/// What an Envoy's memory holds.
#[derive(Debug, Default)]
pub(crate) struct There {
    pub(crate) days: Vec<DayThere>,
    /// The exchanges that have an in-flight record.
    pub(crate) records: Vec<ExchangeId>,
    /// The exchanges whose debit, or void, is in a cell.
    pub(crate) waiting: Vec<ExchangeId>,
}

/// What an in-flight record says of its call (`record.rs`).
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) id: ExchangeId,
    pub(crate) day: UtcDay,
    pub(crate) account: String,
    pub(crate) card: Digest,
    pub(crate) reservation: Option<Pax>,
    pub(crate) hold: Option<Pax>,
    /// Whether the provider may see the call.
    pub(crate) goes_on: bool,
}

/// Where the record of a call with a hold says whether that goes on.
pub(crate) const GOES_ON: usize = 1;
/// The first byte of a cell with the record of a call without a hold, or with one; with a debit, or with a void.
const RECORD: u8 = 2;
pub(crate) const HOLD_RECORD: u8 = 3;
const DEBIT: u8 = 0xd0;
const VOID: u8 = 0xd1;

struct Read<'a>(&'a [u8]);

impl<'a> Read<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, bytes: usize) -> Option<usize> {
        usize::try_from(self.number(bytes)?).ok()
    }

    fn amount(&mut self) -> Option<i64> {
        self.number(8).map(u64::cast_signed)
    }

    fn items(&mut self, count: usize) -> Option<Vec<(u64, i64)>> {
        (0..count).map(|_| Some((self.number(8)?, self.amount()?))).collect()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.length(2)?;
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.number(1)? == 0 { Some(None) } else { read(self).map(Some) }
    }

    fn place(&mut self, into: &mut Vec<DayThere>) -> Option<()> {
        self.take(8)?;
        let length = self.length(1)?;
        let account = String::from_utf8_lossy(self.take(length)?).into_owned();
        while !self.0.is_empty() {
            let day = u32::try_from(self.number(4)?).ok()?;
            let (spent, account_seq) = (self.amount()?, self.number(8)?);
            // The highest bit says that an epoch follows.
            let epoch = if day >> 31 == 1 { self.number(8)? } else { 0 };
            let version = version(epoch, account_seq);
            let day = UtcDay::from_days(day & (u32::MAX >> 1));
            let (open, pending) = (self.length(2)?, self.length(2)?);
            let (open, pending) = (self.items(open)?, self.items(pending)?);
            into.push(DayThere { account: account.clone(), day, spent, version, open, pending });
        }
        Some(())
    }

    fn record(&mut self) -> Option<Recorded> {
        let is_held = self.number(1)? == u64::from(HOLD_RECORD);
        let goes_on = !is_held || self.number(1)? != 0;
        let id = ExchangeId::from_bytes(*self.take(16)?.first_chunk()?)?;
        let day = Moment::from_ms(self.number(8)?).day();
        let account = self.text()?;
        // Tier and status.
        self.take(2)?;
        self.text()?;
        self.optional(Self::amount)?;
        // The version of the debit's form, and whose key pays.
        self.take(5)?;
        // The slot, what the call is for, and how it is made.
        self.text()?;
        self.optional(Self::text)?;
        self.optional(Self::text)?;
        self.take(2)?;
        let card = Digest(*self.take(32)?.first_chunk()?);
        self.text()?;
        self.text()?;
        self.optional(Self::text)?;
        // Five numbers of tokens and answers.
        self.take(40)?;
        let reservation = self.optional(Self::amount)?.map(Pax::from_picopax);
        // The stated maximum, two marks, and the model's other name.
        self.optional(Self::amount)?;
        self.take(2)?;
        self.optional(Self::text)?;
        let hold = if is_held { Some(Pax::from_picopax(self.amount()?)) } else { None };
        Some(Recorded { id, day, account, card, reservation, hold, goes_on })
    }
}

/// All days of a bucket.
pub(crate) fn read_bucket(bucket: &[u8]) -> Vec<DayThere> {
    let (mut read, mut days) = (Read(bucket), Vec::new());
    while let Some(place) = read.length(4).and_then(|length| read.take(length)) {
        let _ = Read(place).place(&mut days);
    }
    days
}

/// An in-flight record; none where it cannot be read.
pub(crate) fn read_record(record: &[u8]) -> Option<Recorded> {
    Read(record).record()
}

/// The exchange whose record is in a cell; none if something else is.
pub(crate) fn recorded(cell: &[u8]) -> Option<ExchangeId> {
    let from = match *cell.first()? {
        RECORD => 1,
        HOLD_RECORD => 2,
        _ => return None,
    };
    let id = cell.get(from..)?;
    id.first_chunk().copied().and_then(ExchangeId::from_bytes)
}

/// The canonical bytes of the debit, or the void, that is in a cell; none if something else is (`debit_cell.rs`).
pub(crate) fn read_debit(cell: &[u8]) -> Option<&[u8]> {
    let mut read = Read(cell);
    if ![DEBIT, VOID].map(u64::from).contains(&read.number(1)?) {
        return None;
    }
    read.optional(|claim| {
        claim.text()?;
        claim.take(12).map(drop)
    })?;
    read.amount()?;
    Some(read.0)
}

/// The exchange that canonical bytes are of: an id of 36 characters after its name. In a void it comes first.
pub(crate) fn exchange_of(bytes: &[u8]) -> &str {
    const NAME: &[u8] = b"\"exchange_id\":\"";
    const VOID: &[u8] = b"{\"void\":\"";
    let at = match bytes.starts_with(VOID) {
        true => VOID.len(),
        false => bytes.windows(NAME.len()).position(|window| window == NAME).map_or(0, |at| at + NAME.len()),
    };
    bytes.get(at..at + 36).and_then(|id| str::from_utf8(id).ok()).unwrap_or("no exchange")
}

/// Whether a debit is that of a call whose VM was lost.
pub(crate) fn is_of_a_lost_vm(canonical: &[u8]) -> bool {
    str::from_utf8(canonical).is_ok_and(|debit| debit.contains("\"ending\":\"orphaned\""))
}

/// What a debit costs, by its canonical bytes; none where they do not say.
pub(crate) fn cost_of(canonical: &[u8]) -> Option<Pax> {
    let (_, rest) = str::from_utf8(canonical).ok()?.split_once("\"cost_pax\":\"")?;
    rest.split_once('"')?.0.parse().ok()
}

/// All of an Envoy's memory.
pub(crate) fn read(map: &Map) -> There {
    let mut there = There::default();
    map.each(CAPS, |_, bucket| there.days.append(&mut read_bucket(bucket)));
    map.each(CELLS, |_, cell| {
        there.records.extend(recorded(cell));
        there
            .waiting
            .extend(read_debit(cell).and_then(|debit| exchange_of(debit).parse::<ExchangeId>().ok()));
    });
    there
}
