//! A killed child is no end: what dies beneath a running stack is started again.

use crate::process::{self, Process};
use crate::{Stack, StackError, logs};
use std::process::Command;
use std::time::{Duration, Instant};

/// The first wait after a death; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// A process that lived so long has come up: its next death is a first one.
const STEADY: Duration = Duration::from_secs(10);
/// After so many deaths in a row it is not the killing that must be mended.
const DEATHS_MAX: u32 = 6;

/// One process's deaths.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    in_a_row: u32,
    /// When it is started again; none while it runs, as far as is known.
    due: Option<Instant>,
    /// When it was last started again.
    started: Option<Instant>,
}

impl Deaths {
    /// It was found dead: how long to wait, or none where it cannot be mended.
    fn died(&mut self, now: Instant) -> Option<Duration> {
        let lived = self.started.map(|started| now.duration_since(started));
        self.in_a_row = if lived.is_some_and(|lived| lived < STEADY) { self.in_a_row + 1 } else { 1 };
        let wait = FIRST_WAIT.saturating_mul(1 << (self.in_a_row - 1).min(10)).min(LAST_WAIT);
        self.due = Some(now + wait);
        (self.in_a_row < DEATHS_MAX).then_some(wait)
    }
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Ledger,
    Envoy,
    Standin,
}

/// The deaths of each process.
#[derive(Debug, Default)]
pub(crate) struct Mending {
    ledger: Deaths,
    envoy: Deaths,
    standin: Deaths,
}

impl Stack {
    /// Starts again what has died since it was last looked, and keeps the logs small. Does not wait until a process is
    /// up, so that it can be called several times a second. `tell` gets one line for each death.
    ///
    /// # Errors
    /// [`StackError::Died`] names a process that dies again and again, or that cannot be started.
    pub fn mend(&mut self, tell: &mut dyn FnMut(&str)) -> Result<(), StackError> {
        for role in [Role::Ledger, Role::Envoy, Role::Standin] {
            self.mend_one(role, tell)?;
        }
        Ok(())
    }

    /// The same while Envoy is drained: one that is gone stays gone.
    pub(crate) fn mend_for_drain(&mut self) {
        for role in [Role::Ledger, Role::Standin] {
            // What cannot be mended is what the drain will say is left.
            let _ = self.mend_one(role, &mut |_| ());
        }
    }

    fn mend_one(&mut self, role: Role, tell: &mut dyn FnMut(&str)) -> Result<(), StackError> {
        let now = Instant::now();
        let (slot, deaths) = self.part(role);
        let Some(process) = slot else { return Ok(()) };
        // A log that cannot be cut is no reason to end.
        let _ = logs::rotate(&process.log, logs::LIMIT_BYTES);
        let Some(status) = process.ended() else { return Ok(()) };
        let Some(due) = deaths.due else {
            let Some(wait) = deaths.died(now) else { return process.check() };
            let (name, how) = (process.name, process::describe(status));
            let (seconds, log) = (wait.as_millis(), process.log.display());
            tell(&format!("{name} {how}; it is started again in {seconds} ms (its log: {log})"));
            return Ok(());
        };
        if now < due {
            return Ok(());
        }
        let (name, log) = (process.name, process.log.clone());
        let command = self.command(role);
        let started = Process::start(name, command, log)?;
        let (slot, deaths) = self.part(role);
        *slot = Some(started);
        (deaths.due, deaths.started) = (None, Some(now));
        Ok(())
    }

    fn part(&mut self, role: Role) -> (&mut Option<Process>, &mut Deaths) {
        match role {
            Role::Ledger => (&mut self.ledger, &mut self.mending.ledger),
            Role::Envoy => (&mut self.envoy, &mut self.mending.envoy),
            Role::Standin => (&mut self.standin, &mut self.mending.standin),
        }
    }

    fn command(&self, role: Role) -> Command {
        match role {
            Role::Ledger => self.ledger_command(),
            Role::Envoy => self.envoy_command(&self.config_file()),
            Role::Standin => self.standin_command(self.standin_port.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_dies_again_and_again_is_waited_for_longer_and_then_given_up() {
        let (mut deaths, mut now) = (Deaths::default(), Instant::now());
        let mut waits = Vec::new();
        while let Some(wait) = deaths.died(now) {
            waits.push(wait.as_millis());
            now += wait;
            deaths.started = Some(now);
            now += Duration::from_secs(1);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600]);
        now += STEADY;
        assert_eq!(deaths.died(now), Some(FIRST_WAIT), "it had come up");
    }
}
