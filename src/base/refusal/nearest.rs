//! Finds the names that are nearest to a name that does not exist: the caller may have meant one of them.

use std::cmp::Reverse;

/// The caller is told at most this many names.
const TOLD: usize = 3;
/// At most this many bytes of the name that was asked for are compared: no model id is longer.
const ASKED_MAX: usize = 256;
/// At most this many names are compared: a card has a few hundred.
const LOOKED_AT: usize = 1_024;
/// A common beginning shorter than this does not count.
const BEGINNING: usize = 3;

/// How near a name is to the one that was asked for: the smaller, the nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// The same but for the case of letters and for what comes before the last `/`, which differs from
    /// provider to provider.
    SameEnd,
    /// One name is the beginning of the other: `gpt-4o` and `gpt-4o-2024-08-06`. The longer the common part,
    /// the nearer.
    SameBeginning(Reverse<usize>),
    /// How many letters must be changed, put in or taken out after the last `/`.
    Letters(usize),
}

/// Those of `names` that are nearest to `asked`, nearest first, at most three. A name that is not near at all
/// is left out.
///
/// ```
/// use pax_gateway::base::refusal::nearest::nearest;
/// let names = ["accounts/fireworks/models/gpt-oss-120b", "gpt-5-mini"];
/// assert_eq!(nearest("gpt-oss-120b", names.into_iter()), ["accounts/fireworks/models/gpt-oss-120b"]);
/// ```
#[must_use]
pub fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let asked = asked.as_bytes();
    let asked = end(asked.get(..ASKED_MAX).unwrap_or(asked));
    let mut row = Vec::new();
    let mut near: Vec<(Distance, &str)> = Vec::new();
    for name in names.take(LOOKED_AT) {
        let Some(distance) = distance(asked, end(name.as_bytes()), &mut row) else { continue };
        // `near` has the nearest three so far, in order.
        let place = near.partition_point(|known| *known <= (distance, name));
        if place < TOLD {
            near.insert(place, (distance, name));
            near.truncate(TOLD);
        }
    }
    near.into_iter().map(|(_, name)| name).collect()
}

/// The last part between slashes that is not empty.
fn end(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty()).unwrap_or(&[])
}

/// How near two names are; none if they are not near.
fn distance(asked: &[u8], name: &[u8], row: &mut Vec<usize>) -> Option<Distance> {
    if asked.eq_ignore_ascii_case(name) {
        return Some(Distance::SameEnd);
    }
    let (short, long) = if asked.len() < name.len() { (asked, name) } else { (name, asked) };
    let begins = long.get(..short.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(short));
    if begins && short.len() >= BEGINNING {
        return Some(Distance::SameBeginning(Reverse(short.len())));
    }
    // If more than a third of the letters differ, it is another name.
    let most = short.len().checked_div(3).unwrap_or(0);
    if long.len().saturating_sub(short.len()) > most {
        return None;
    }
    Some(letters(short, long, row)).filter(|count| *count <= most).map(Distance::Letters)
}

/// How many letters of one name must be changed, put in or taken out to make the other (Levenshtein). `row`
/// is working memory.
fn letters(a: &[u8], b: &[u8], row: &mut Vec<usize>) -> usize {
    row.clear();
    row.extend(0..=b.len());
    for (index, x) in a.iter().enumerate() {
        let mut cells = row.iter_mut();
        let Some(first) = cells.next() else { break };
        let mut above_left = std::mem::replace(first, index.saturating_add(1));
        let mut left = *first;
        for (cell, y) in cells.zip(b) {
            let changed = above_left.saturating_add(usize::from(!x.eq_ignore_ascii_case(y)));
            above_left = *cell;
            *cell = changed.min(left.min(*cell).saturating_add(1));
            left = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    const NAMES: [&str; 8] = [
        "accounts/fireworks/models/gpt-oss-120b",
        "accounts/fireworks/models/gpt-oss-20b",
        "openai/gpt-oss-120b",
        "gpt-4o",
        "gpt-4o-mini",
        "deepseek-chat",
        "claude-3",
        "o3",
    ];

    fn told(asked: &str) -> Vec<&'static str> {
        nearest(asked, NAMES.into_iter())
    }

    #[test]
    fn whoever_leaves_out_or_confuses_the_provider_is_told_the_whole_name() {
        let both = ["accounts/fireworks/models/gpt-oss-120b", "openai/gpt-oss-120b"];
        for asked in ["gpt-oss-120b", "GPT-OSS-120B", "together/gpt-oss-120b", "a/b/c/d/gpt-oss-120b"] {
            let told = told(asked);
            assert_eq!(told[..2], both, "{asked}");
            assert_eq!(told[2], "accounts/fireworks/models/gpt-oss-20b", "near, and after those: {asked}");
        }
    }

    #[test]
    fn a_version_or_a_date_more_or_less_is_near() {
        assert_eq!(told("gpt-4o-2024-08-06"), ["gpt-4o"]);
        assert_eq!(told("gpt-4o-mini-2024-07-18"), ["gpt-4o-mini", "gpt-4o"], "the longer first");
        assert_eq!(told("deepseek"), ["deepseek-chat"]);
        assert_eq!(
            told("gpt"),
            ["accounts/fireworks/models/gpt-oss-120b", "accounts/fireworks/models/gpt-oss-20b", "gpt-4o"]
        );
    }

    #[test]
    fn a_slip_of_the_finger_is_near_and_another_name_is_not() {
        assert_eq!(told("depseek-chat"), ["deepseek-chat"]);
        assert_eq!(told("deepseek-chat/"), ["deepseek-chat"]);
        assert_eq!(told("gpt_oss:120b")[0], "accounts/fireworks/models/gpt-oss-120b");
        for asked in ["nobody/knows", "", "/", "o4", "gp", "é", "gpt-oss-120b/other"] {
            let told = told(asked);
            assert!(told.is_empty(), "{asked}: {told:?}");
        }
    }

    #[test]
    fn three_names_are_told_of_however_many() {
        let names: Vec<String> = (0..5_000).map(|n| format!("m-{n:04}")).collect();
        assert_eq!(nearest("m-000x", names.iter().map(String::as_str)), ["m-0000", "m-0001", "m-0002"]);
        assert!(nearest("m-4999", names.iter().map(String::as_str)).iter().all(|name| *name < "m-1024"));
    }

    #[test]
    fn what_is_asked_for_may_be_anything() {
        let long = "gpt-4o".repeat(100_000);
        assert_eq!(nearest(&long, NAMES.into_iter()), ["gpt-4o"]);
        assert_eq!(nearest(&"ä".repeat(1_000), NAMES.into_iter()), Vec::<&str>::new());
    }
}
