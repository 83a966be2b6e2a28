//! Whether the ledger answers this worker's probes: `/readyz` reports it. Its other reports are in
//! [`crate::base::refusal::unready::Unready`].

use crate::base::clock::Tick;

/// How long an answer of the ledger counts. Then the ledger is asked again.
const ASK_MS: u64 = 2_000;
/// How soon the ledger is asked again if it did not answer as it should.
const ASK_AGAIN_MS: u64 = 500;

/// What a VM's own probes tell of its ledger. Calls alone would not tell: they may be few, and a call whose
/// token is cached asks nothing.
#[derive(Debug, Default)]
pub struct Probe {
    asked: Option<Tick>,
    answers: Option<bool>,
}

impl Probe {
    /// Nothing is known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { asked: None, answers: None }
    }

    /// Whether the ledger is to be asked at `now`; if so it counts as asked.
    pub fn ask(&mut self, now: Tick) -> bool {
        let wait_ms = if self.answers == Some(true) { ASK_MS } else { ASK_AGAIN_MS };
        let waits = self.asked.is_some_and(|asked| now.since_ms(asked) < wait_ms);
        if !waits {
            self.asked = Some(now);
        }
        !waits
    }

    /// Notes whether the ledger answered as it should.
    pub fn answered(&mut self, well: bool) {
        self.answers = Some(well);
    }

    /// Whether anything is known.
    #[must_use]
    pub fn knows(&self) -> bool {
        self.answers.is_some()
    }

    /// Whether the ledger is known to be away. Before its first answer nothing is known.
    #[must_use]
    pub fn ledger_is_away(&self) -> bool {
        self.answers == Some(false)
    }

    /// Whether the ledger answers, as far as is known.
    #[must_use]
    pub fn ledger_answers(&self) -> bool {
        self.answers == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_is_asked_every_two_seconds_and_sooner_after_a_failure() {
        let mut probe = Probe::new();
        let at = Tick::from_ms;
        assert!(probe.ask(at(10_000)) && !probe.knows() && !probe.ledger_answers());
        assert!(!probe.ask(at(10_100)), "one question at a time");
        probe.answered(true);
        assert!(probe.ledger_answers());
        assert!(!probe.ask(at(11_999)));
        assert!(probe.ask(at(12_000)));
        probe.answered(false);
        assert!(probe.knows() && !probe.ledger_answers());
        assert!(!probe.ask(at(12_499)));
        assert!(probe.ask(at(12_500)));
    }

    #[test]
    fn a_question_that_is_never_answered_is_asked_again_and_changes_nothing() {
        let mut probe = Probe::new();
        assert!(probe.ask(Tick::from_ms(0)));
        probe.answered(true);
        assert!(probe.ask(Tick::from_ms(2_000)));
        assert!(probe.ask(Tick::from_ms(4_000)) && probe.ledger_answers());
    }
}
