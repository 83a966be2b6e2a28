//! Moments, ticks and UTC days. The caller hands every time in: no clock is read here.

use std::fmt;
use std::str::FromStr;

use crate::base::text::{AsText, by_text, put_decimal};

const DAY_MS: u64 = 86_400_000;
/// The first millisecond of the year 10000: beyond it RFC 3339 has no text.
const END_MS: u64 = 253_402_300_800_000;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. Its text is RFC 3339 with milliseconds and `Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

/// A point on the monotonic clock, in milliseconds since a start that all VMs of a host share. This clock
/// never goes back and nobody sets it, so every duration is measured on it. It knows no days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

/// Both clocks at once: the wall clock for days, cards and entries, the monotonic one for durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: Moment,
    /// The monotonic clock.
    pub tick: Tick,
}

impl Now {
    /// A moment at which both clocks show the same milliseconds: how tests tell the time.
    #[must_use]
    pub const fn at(wall: Moment) -> Self {
        Self { wall, tick: Tick::from_ms(wall.ms()) }
    }
}

/// How far the wall clock is ahead of the monotonic one, in milliseconds. If it is behind, the number has wrapped
/// around, and adding it wraps back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallAhead(u64);

impl WallAhead {
    /// The difference of two clocks that were read at once.
    #[must_use]
    pub const fn of(now: Now) -> Self {
        Self(now.wall.ms().wrapping_sub(now.tick.ms()))
    }

    /// What the wall clock shows at this tick, unless somebody has set it since.
    #[must_use]
    pub const fn at(self, tick: Tick) -> Now {
        Now { wall: Moment::from_ms(tick.ms().wrapping_add(self.0)), tick }
    }
}

/// A UTC date. Its text is `2026-11-23`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcDay {
    days: u64,
}

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMoment;

impl fmt::Display for NotAMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a UTC time such as \"2026-11-23T00:00:00Z\"")
    }
}

impl std::error::Error for NotAMoment {}

impl Moment {
    /// A moment from milliseconds. A moment after the year 9999 becomes the last millisecond of that year.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(if ms < END_MS { ms } else { END_MS.saturating_sub(1) })
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// The moment so many milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self::from_ms(self.0.saturating_add(ms))
    }

    /// The milliseconds since `earlier`; zero if it is not earlier.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The UTC date.
    #[must_use]
    pub fn day(self) -> UtcDay {
        UtcDay { days: self.0.checked_div(DAY_MS).unwrap_or(0) }
    }
}

impl Tick {
    /// A tick from milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Its milliseconds.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// The tick so many milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The milliseconds since `earlier`; zero if it is not earlier.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl UtcDay {
    /// The day so many days after 1970-01-01.
    #[must_use]
    pub const fn from_days(days: u32) -> Self {
        Self { days: days as u64 }
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub fn days(self) -> u32 {
        // No moment is after the year 9999: that is fewer than three million days.
        u32::try_from(self.days).unwrap_or(u32::MAX)
    }

    /// The first moment of the day.
    #[must_use]
    pub fn start(self) -> Moment {
        Moment::from_ms(self.days.saturating_mul(DAY_MS))
    }

    /// The day after.
    #[must_use]
    pub fn next(self) -> Self {
        Self { days: self.days.saturating_add(1) }
    }

    /// Year, month and day of the proleptic Gregorian calendar.
    ///
    /// Howard Hinnant's `civil_from_days`: eras of 400 years that begin on 1 March.
    #[allow(clippy::arithmetic_side_effects, reason = "days < 3 million: Moment ends with the year 9999")]
    fn civil(self) -> (u64, u64, u64) {
        let shifted = self.days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        (year, month, day)
    }

    /// The inverse of [`UtcDay::civil`]; none if there is no such date from 1970 on.
    #[allow(clippy::arithmetic_side_effects, reason = "year, month and day have at most four digits")]
    fn from_civil(year: u64, month: u64, day: u64) -> Option<Self> {
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let shifted_year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
        let month_from_march = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let date = Self { days: (era * 146_097 + day_of_era).checked_sub(719_468)? };
        // This arithmetic turns 31 April into 1 May: only a real date comes back unchanged.
        (date.civil() == (year, month, day)).then_some(date)
    }
}

impl AsText for UtcDay {
    fn put(&self, to: &mut Vec<u8>) {
        let (year, month, day) = self.civil();
        put_decimal(to, year, 4);
        put_parts(to, [(b'-', month, 2), (b'-', day, 2)]);
    }
}

impl FromStr for UtcDay {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let mut parts = text.split('-');
        let mut next = |digits| number(parts.next()?, digits);
        let date = next(4).zip(next(2)).zip(next(2));
        let ((year, month), day) = date.filter(|_| text.len() == 10).ok_or(NotAMoment)?;
        Self::from_civil(year, month, day).ok_or(NotAMoment)
    }
}

impl AsText for Moment {
    fn put(&self, to: &mut Vec<u8>) {
        let rest = self.since_ms(self.day().start());
        let part =
            |unit: u64, modulo: u64| rest.checked_div(unit).and_then(|n| n.checked_rem(modulo)).unwrap_or(0);
        let (hour, minute, second, ms) =
            (part(3_600_000, 24), part(60_000, 60), part(1_000, 60), part(1, 1_000));
        self.day().put(to);
        put_parts(to, [(b'T', hour, 2), (b':', minute, 2), (b':', second, 2), (b'.', ms, 3)]);
        to.push(b'Z');
    }
}

/// Writes numbers of a fixed width, each after its separator.
fn put_parts<const N: usize>(to: &mut Vec<u8>, parts: [(u8, u64, usize); N]) {
    for (before, number, width) in parts {
        to.push(before);
        put_decimal(to, number, width);
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    /// Reads `2026-11-23T00:00:00Z`, with or without milliseconds. Only UTC: an offset in a price list is a
    /// mistake waiting to happen.
    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let (date, time) = text.strip_suffix('Z').and_then(|text| text.split_once('T')).ok_or(NotAMoment)?;
        let day: UtcDay = date.parse()?;
        let (time, ms) = match time.split_once('.') {
            Some((time, ms)) => (time, number(ms, 3).ok_or(NotAMoment)?),
            None => (time, 0),
        };
        let mut parts = time.split(':');
        let mut next = |limit| number(parts.next()?, 2).filter(|part| *part < limit);
        let time = next(24).zip(next(60)).zip(next(60));
        let ((hour, minute), second) = time.filter(|_| parts.next().is_none()).ok_or(NotAMoment)?;
        let seconds =
            hour.saturating_mul(3_600).saturating_add(minute.saturating_mul(60)).saturating_add(second);
        Ok(day.start().plus_ms(seconds.saturating_mul(1_000).saturating_add(ms)))
    }
}

fn number(text: &str, digits: usize) -> Option<u64> {
    (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

by_text!(Moment, UtcDay);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_have_the_texts_that_everybody_writes() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_392_000_000, "2026-11-23T00:00:00.000Z"),
            (END_MS - 1, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Moment::from_ms(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Moment::from_ms(ms)));
        }
        assert_eq!("2026-11-23T00:00:00Z".parse(), Ok(Moment::from_ms(1_795_392_000_000)));
    }

    #[test]
    fn texts_that_are_no_moments_are_refused() {
        for text in [
            "2026-11-23",
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T00:00:60Z",
            "2026-11-23T00:00:00+00:00",
            "2026-11-23T00:00:00",
            "2026-11-23 00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-23T00:00:00.5Z",
            "2026-11-23T00:00:00:00Z",
            "2026-11-23-01T00:00:00Z",
            "+026-11-23T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(NotAMoment), "{text}");
        }
    }

    #[test]
    fn the_wall_clock_follows_from_the_other_wherever_that_began() {
        for (wall, tick) in [(1_795_392_000_000, 5_000), (5_000, 1_795_392_000_000), (7, 7)] {
            let now = Now { wall: Moment::from_ms(wall), tick: Tick::from_ms(tick) };
            let later = Now { wall: now.wall.plus_ms(250), tick: now.tick.plus_ms(250) };
            assert_eq!(WallAhead::of(now).at(later.tick), later);
        }
    }

    proptest! {
        #[test]
        fn a_moment_survives_its_text(ms in 0..END_MS) {
            let moment = Moment::from_ms(ms);
            prop_assert_eq!(moment.to_string().parse::<Moment>(), Ok(moment));
            prop_assert_eq!(moment.day().to_string().parse::<UtcDay>(), Ok(moment.day()));
            prop_assert!(moment.day().start() <= moment && moment < moment.day().next().start());
        }
    }
}
