//! What the gateway rewrites in a request, as edits of its body.

use crate::dialect::provider::OutputMaximum;
use crate::reading::request::parsed::{Member, Request, Span, StreamOptions};

/// What the gateway writes into a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite<'a> {
    /// The provider's name for the model.
    pub upstream_model: Option<&'a str>,
    /// Whether a stream is to report usage.
    pub asks_usage: bool,
    /// The output's maximum; none if the request's own members are left alone.
    pub maximum: Option<WrittenMaximum>,
    /// The service tier; none if the request's own member is left alone.
    pub service_tier: Option<WrittenTier<'a>>,
}

/// The output's maximum as it goes upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenMaximum {
    /// The one field that carries it. A maximum in another field is moved here, or taken out.
    pub field: OutputMaximum,
    /// The maximum; none if the provider is told none.
    pub tokens: Option<u64>,
}

/// The service tier as it goes upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenTier<'a> {
    /// The provider's word for the standard one.
    Standard(&'a str),
    /// The member is taken out: the provider has no word for the standard tier.
    TakenOut,
}

/// A replacement of a span of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty to insert.
    pub span: Span,
    /// What replaces it.
    pub with: Vec<u8>,
}

impl Member {
    /// The member and one comma: the comma after it if it is before `model`, and the comma before it if it is
    /// after. So any number of members can be taken out, and the rest is still an object.
    fn removal(&self, model: Span) -> Span {
        match self.next_key_at.filter(|_| self.key_at < model.start) {
            Some(next_key_at) => Span { start: self.key_at, end: next_key_at },
            None => Span { start: self.previous_end, end: self.value.end },
        }
    }
}

impl Request {
    /// The edits of the body that a rewrite needs, in order.
    #[must_use]
    pub fn edits(&self, rewrite: &Rewrite<'_>) -> Vec<Edit> {
        let mut edits = Vec::new();
        if let Some(name) = rewrite.upstream_model {
            let with = serde_json::to_vec(name).unwrap_or_default();
            edits.push(Edit { span: self.model_span, with });
        }
        if rewrite.asks_usage {
            edits.extend(self.usage_edit());
        }
        if let Some(maximum) = &rewrite.maximum {
            edits.extend(self.maximum_edits(maximum));
        }
        if let Some(tier) = rewrite.service_tier {
            edits.extend(self.tier_edit(tier));
        }
        edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
        edits
    }

    /// Writes the maximum into its field, and takes out the one in the other field. A provider may read both,
    /// and does not tell which one wins: so only one maximum goes upstream.
    fn maximum_edits(&self, written: &WrittenMaximum) -> Vec<Edit> {
        let WrittenMaximum { field, tokens } = *written;
        let key = field.name();
        let (own, other) = (self.maximum(field), self.maximum(field.other()));
        let other = other.filter(|other| other.number.is_some());
        let mut edits = Vec::new();
        match (tokens, own, other) {
            (Some(tokens), Some(own), _) if own.number != Some(tokens) => {
                edits.push(Edit { span: own.value, with: tokens.to_string().into_bytes() });
            }
            (Some(tokens), None, Some(other)) => {
                let span = Span { start: other.key_at, end: other.value.end };
                return vec![Edit { span, with: format!("\"{key}\":{tokens}").into_bytes() }];
            }
            (Some(tokens), None, None) => {
                edits.push(self.in_front(format!("\"{key}\":{tokens},")));
            }
            _ => {}
        }
        edits.extend(other.map(|other| self.taken_out(other)));
        edits
    }

    fn tier_edit(&self, tier: WrittenTier<'_>) -> Option<Edit> {
        match (tier, &self.service_tier_at) {
            (WrittenTier::Standard(word), Some(member)) => {
                Some(Edit { span: member.value, with: format!("\"{word}\"").into_bytes() })
            }
            (WrittenTier::Standard(word), None) => {
                Some(self.in_front(format!("\"service_tier\":\"{word}\",")))
            }
            (WrittenTier::TakenOut, member) => member.as_ref().map(|member| self.taken_out(member)),
        }
    }

    /// A member more, as the first one, with its comma: there is always a member after it, the model. So no byte of the
    /// body has to move for it.
    fn in_front(&self, with: String) -> Edit {
        let span = Span { start: self.inside, end: self.inside };
        Edit { span, with: with.into_bytes() }
    }

    fn taken_out(&self, member: &Member) -> Edit {
        Edit { span: member.removal(self.model_span), with: Vec::new() }
    }

    fn usage_edit(&self) -> Option<Edit> {
        let (span, with): (Span, &[u8]) = match self.stream_options {
            StreamOptions::Absent => {
                return Some(self.in_front(r#""stream_options":{"include_usage":true},"#.to_owned()));
            }
            StreamOptions::Null(span) => (span, br#"{"include_usage":true}"#),
            StreamOptions::Without { inside, empty } => {
                let first = Span { start: inside, end: inside };
                (first, if empty { br#""include_usage":true"# } else { br#""include_usage":true,"# })
            }
            StreamOptions::With { include_usage: true, .. } => return None,
            StreamOptions::With { value, .. } => (value, b"true"),
        };
        Some(Edit { span, with: with.to_vec() })
    }
}

/// The length of a body of `length` bytes after its edits.
#[must_use]
pub fn edited_length(length: u64, edits: &[Edit]) -> u64 {
    edits.iter().fold(length, |length, edit| {
        let removed = edit.span.end.saturating_sub(edit.span.start);
        let added = u64::try_from(edit.with.len()).unwrap_or(u64::MAX);
        length.saturating_sub(removed).saturating_add(added)
    })
}

/// How many of the body's first bytes its edits are about: what comes after the last edit stays as it is.
#[must_use]
pub fn front_size(edits: &[Edit]) -> usize {
    edits.last().map_or(0, |edit| usize::try_from(edit.span.end).unwrap_or(usize::MAX))
}

/// The first bytes of a body as its edits show them, if they do: before an edit that ends with the body's first byte is
/// nothing but the opening brace.
#[must_use]
pub fn known_front(edits: &[Edit]) -> Option<&'static [u8]> {
    (front_size(edits) == 1).then_some(b"{")
}

/// The body with its edits made, as the pieces that it consists of; edits must be in order and not overlap.
/// Nothing is copied: a body may be large.
pub fn pieces<'a>(body: &'a [u8], edits: &'a [Edit]) -> impl Iterator<Item = &'a [u8]> {
    let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    let mut done = 0;
    let edited = edits.iter().flat_map(move |edit| {
        let kept = body.get(done..index(edit.span.start)).unwrap_or(&[]);
        done = index(edit.span.end);
        [kept, edit.with.as_slice()]
    });
    edited.chain([body.get(front_size(edits)..).unwrap_or(&[])])
}

/// The body with its edits made, in one piece.
#[must_use]
pub fn apply(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    pieces(body, edits).collect::<Vec<_>>().concat()
}

#[cfg(test)]
#[path = "edits_test.rs"]
mod tests;
