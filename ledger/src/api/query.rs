//! Reads the query parameters of callers' requests. Each must be known, be there once, and have a value with a
//! meaning. If a parameter were ignored, the caller would believe that it had been obeyed.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use pax_gateway::base::clock::UtcDay;

use super::public::ENTRIES_PATH;
use crate::error::Error;
use crate::store::{Order, OwnFilter};

/// The most entries on a page.
pub const LIMIT_MAX: u32 = 1_000;
/// The entries on a page if the caller does not state a number.
pub const LIMIT_DEFAULT: u32 = 100;
/// How much of a caller's own text an error repeats.
const SHOWN_MAX: usize = 64;

/// The format of a list of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object with a list.
    Json,
    /// RFC 4180, with a header line.
    Csv,
}

/// Which entries a caller asks for, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Which entries.
    pub filter: OwnFilter,
    /// How many entries on a page.
    pub limit: u32,
    /// The format.
    pub format: Format,
}

impl Listing {
    /// Reads a query. If it names no format, the `accept` headers decide.
    ///
    /// # Errors
    /// [`Error::Query`] for the first parameter that is unknown, is there twice, or has no meaning.
    pub fn read(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Error> {
        let mut query = Parameters::read(query)?;
        let limit = query.value("limit", &format!("a whole number from 1 to {LIMIT_MAX}"), |text| {
            number(text).and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=LIMIT_MAX).contains(n))
        })?;
        let after = query.value("after", "the account_seq of an entry, a whole number", number)?;
        let order = query.value("order", "`desc` (newest first) or `asc`", |text| match text {
            "desc" => Some(Order::NewestFirst),
            "asc" => Some(Order::OldestFirst),
            _ => None,
        })?;
        let day = |text: &str| text.parse::<UtcDay>().ok();
        let since = query.value("since", "a UTC day such as 2026-11-23", day)?;
        let until = query.value("until", "a UTC day such as 2026-11-23", day)?;
        let format = query.value("format", "`json` or `csv`", |text| match text {
            "json" => Some(Format::Json),
            "csv" => Some(Format::Csv),
            _ => None,
        })?;
        query.end()?;
        Ok(Self {
            filter: OwnFilter { order: order.unwrap_or(Order::NewestFirst), after, since, until },
            limit: limit.unwrap_or(LIMIT_DEFAULT),
            format: format.unwrap_or_else(|| accepted(headers)),
        })
    }

    /// Path and query of the page that follows the entry with this number. The query states every value, so
    /// that neither headers nor defaults can change its meaning.
    #[must_use]
    pub fn next(&self, after: i64) -> String {
        let order = if self.filter.order == Order::NewestFirst { "desc" } else { "asc" };
        let format = if self.format == Format::Json { "json" } else { "csv" };
        let mut next = format!("{ENTRIES_PATH}?limit={}&order={order}&format={format}", self.limit);
        for (name, day) in [("since", self.filter.since), ("until", self.filter.until)] {
            if let Some(day) = day {
                next.push_str(&format!("&{name}={day}"));
            }
        }
        next.push_str(&format!("&after={after}"));
        next
    }
}

/// The format that the `accept` headers ask for: CSV if it is named before JSON, since programs name first what
/// they like best.
fn accepted(headers: &HeaderMap) -> Format {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        // `q=0` means "not this one"; any other weight accepts the type.
        let refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
        });
        match kind.to_ascii_lowercase().as_str() {
            "text/csv" if !refused => return Format::Csv,
            "application/json" if !refused => return Format::Json,
            _ => {}
        }
    }
    Format::Json
}

/// Digits and nothing else.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A query's parameters that were not taken yet.
pub struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// Reads a query.
    ///
    /// # Errors
    /// If a parameter is there twice.
    pub fn read(query: Option<&'a str>) -> Result<Self, Error> {
        let mut all = Vec::<(Cow<'a, str>, Cow<'a, str>)>::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if all.iter().any(|(other, _)| *other == name) {
                return Err(bad(&name, "stands twice; send it once"));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// Takes a parameter's value, if it is there.
    fn value<T>(
        &mut self,
        name: &str,
        must_be: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(at) = self.0.iter().position(|(known, _)| known == name) else { return Ok(None) };
        let (_, text) = self.0.swap_remove(at);
        let value = read(&text);
        value.map(Some).ok_or_else(|| bad(name, &format!("must be {must_be}; it is {:?}", shown(&text))))
    }

    /// Checks that no other parameter is left.
    ///
    /// # Errors
    /// If one is left.
    pub fn end(self) -> Result<(), Error> {
        match self.0.first() {
            Some((name, _)) => Err(bad(name, "is no parameter of this route; leave it out")),
            None => Ok(()),
        }
    }
}

fn bad(name: &str, what: &str) -> Error {
    let param = shown(name);
    Error::Query { message: format!("query parameter {param:?} {what}"), param }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Listing, (String, String)> {
        Listing::read(Some(query), &HeaderMap::new()).map_err(|error| match error {
            Error::Query { param, message } => (param, message),
            other => panic!("{other}"),
        })
    }

    #[test]
    fn a_query_that_says_nothing_asks_for_the_newest_hundred() {
        let filter = OwnFilter { order: Order::NewestFirst, after: None, since: None, until: None };
        let expected = Listing { filter, limit: 100, format: Format::Json };
        assert_eq!(Listing::read(None, &HeaderMap::new()).unwrap(), expected);
        for query in ["", "&", "&&"] {
            assert_eq!(read(query).unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn the_next_page_is_asked_for_in_the_same_words() {
        let text = "limit=7&order=asc&format=csv&since=2026-11-23&until=2026-11-24&after=12";
        for query in [text, "after=12&format=csv&%6Cimit=7&until=2026-11-24&order=asc&since=2026%2D11-23"] {
            let listing = read(query).unwrap();
            assert_eq!(listing.next(12), format!("/v1/credits/ledger?{text}"));
        }
        assert_eq!(read("").unwrap().next(5), "/v1/credits/ledger?limit=100&order=desc&format=json&after=5");
    }

    #[test]
    fn whatever_a_parameter_cannot_be_is_refused_by_its_name() {
        for (query, param, what) in [
            ("limit=0", "limit", "from 1 to 1000"),
            ("limit=1001", "limit", "from 1 to 1000"),
            ("limit=-1", "limit", "from 1 to 1000"),
            ("limit=%2B1", "limit", "from 1 to 1000"),
            ("limit=1.0", "limit", "from 1 to 1000"),
            ("limit=", "limit", "from 1 to 1000"),
            ("limit", "limit", "from 1 to 1000"),
            ("limit=4294967297", "limit", "from 1 to 1000"),
            ("after=9223372036854775808", "after", "whole number"),
            ("after=x", "after", "whole number"),
            ("order=DESC", "order", "`asc`"),
            ("since=2026-11-31", "since", "UTC day"),
            ("until=today", "until", "UTC day"),
            ("format=xml", "format", "`csv`"),
            ("limit=5&limit=5", "limit", "twice"),
            ("limit=5&%6cimit=5", "limit", "twice"),
            ("account=other", "account", "no parameter"),
            ("before=5", "before", "no parameter"),
            ("Limit=5", "Limit", "no parameter"),
            ("limit=5&=", "", "no parameter"),
        ] {
            let (named, message) = read(query).expect_err(query);
            assert!(named == param && message.contains(what), "{query}: {named:?} {message}");
        }
        let (named, message) = read(&format!("{}={}", "x".repeat(5_000), "y".repeat(5_000))).unwrap_err();
        assert!(named.len() == SHOWN_MAX && message.len() < 200, "{message}");
    }

    #[test]
    fn csv_is_what_accept_names_before_json() {
        for (accept, expected) in [
            (&[][..], Format::Json),
            (&["*/*"], Format::Json),
            (&["text/*"], Format::Json),
            (&["text/csv"], Format::Csv),
            (&["TEXT/CSV; charset=utf-8; q=0.9, */*;q=0.1"], Format::Csv),
            (&["text/html", "text/csv"], Format::Csv),
            (&["application/json, text/csv"], Format::Json),
            (&["text/csv, application/json"], Format::Csv),
            (&["text/csv;q=0"], Format::Json),
            (&["text/csv; q=0.000, application/json"], Format::Json),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, value.parse().unwrap());
            }
            assert_eq!(Listing::read(None, &headers).unwrap().format, expected, "{accept:?}");
            // The query overrides the headers.
            assert_eq!(Listing::read(Some("format=json"), &headers).unwrap().format, Format::Json);
            assert_eq!(Listing::read(Some("format=csv"), &headers).unwrap().format, Format::Csv);
        }
    }
}
