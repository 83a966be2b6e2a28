//! Decides what becomes of a provider's answer, from its status and from whose key the call used.

use crate::base::account::Funding;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider did the work: it is priced.
    Served,
    /// The provider did not do it: its answer goes on as it came, and nothing is charged.
    PassedOn,
    /// The provider refused the platform's own key. That is neither the caller's fault nor its business: the
    /// caller gets an answer of ours, and nothing is charged.
    KeyRefused,
    /// No answer at all, such as another protocol (101). Nobody asked for it, and it would be a way around
    /// the meter: the caller gets an answer of ours, and nothing is charged.
    NoAnswer,
}

impl Verdict {
    /// The verdict on a status; 0 is a status that cannot be read.
    #[must_use]
    pub fn of(status: u16, funding: Funding) -> Self {
        match (status, funding) {
            (200..300, _) => Self::Served,
            // The provider may also forbid the content: nobody can tell the two apart from the status.
            (401 | 403, Funding::Platform) => Self::KeyRefused,
            (0..200, _) => Self::NoAnswer,
            _ => Self::PassedOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_the_platforms_own_key_and_no_answer_are_replaced() {
        for (status, platform, byo) in [
            (0, Verdict::NoAnswer, Verdict::NoAnswer),
            (101, Verdict::NoAnswer, Verdict::NoAnswer),
            (199, Verdict::NoAnswer, Verdict::NoAnswer),
            (200, Verdict::Served, Verdict::Served),
            (299, Verdict::Served, Verdict::Served),
            (300, Verdict::PassedOn, Verdict::PassedOn),
            (400, Verdict::PassedOn, Verdict::PassedOn),
            (401, Verdict::KeyRefused, Verdict::PassedOn),
            (402, Verdict::PassedOn, Verdict::PassedOn),
            (403, Verdict::KeyRefused, Verdict::PassedOn),
            (404, Verdict::PassedOn, Verdict::PassedOn),
            (407, Verdict::PassedOn, Verdict::PassedOn),
            (429, Verdict::PassedOn, Verdict::PassedOn),
            (999, Verdict::PassedOn, Verdict::PassedOn),
        ] {
            assert_eq!(Verdict::of(status, Funding::Platform), platform, "{status}");
            assert_eq!(Verdict::of(status, Funding::Byo), byo, "{status}");
        }
    }
}
