//! Starts a running stack's processes again if they die.

use crate::ledgers::Ledger;
use crate::process::{self, Process};
use crate::{CallsLog, Stack, StackError, calls_log, logs};
use pax_drain::OUTBOX_GAUGE;
use std::process::Command;
use std::time::{Duration, Instant};

/// The first wait after a death; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// A process that lived so long has come up: its next death is a first one.
const STEADY: Duration = Duration::from_secs(10);
/// After so many deaths in a row a process is given up, since starting it again does not help. The ledger is
/// not given up while debits wait for it: they are only in Envoy's memory, and the end of the stack would
/// lose them.
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
    /// The process was found dead. Gives how long to wait until it is started again.
    fn died(&mut self, now: Instant) -> Duration {
        let lived = self.started.map(|started| now.duration_since(started));
        self.in_a_row = if lived.is_some_and(|lived| lived < STEADY) { self.in_a_row + 1 } else { 1 };
        let wait = FIRST_WAIT.saturating_mul(1 << (self.in_a_row - 1).min(10)).min(LAST_WAIT);
        self.due = Some(now + wait);
        wait
    }

    fn cannot_be_mended(&self) -> bool {
        self.in_a_row >= DEATHS_MAX
    }
}

#[derive(Clone, Copy, Debug)]
enum Role {
    /// One of the ledgers, by its number.
    Ledger(usize),
    Envoy,
    Standin,
}

/// The deaths of the processes that there is one of.
#[derive(Debug, Default)]
pub(crate) struct Mending {
    envoy: Deaths,
    standin: Deaths,
}

impl Stack {
    /// Starts again what has died since the last call, and keeps the logs small. Does not wait until a
    /// process is up, so that it can be called several times a second. `tell` gets one line for each death.
    ///
    /// # Errors
    /// [`StackError::Died`] names a process that dies again and again, or that cannot be started.
    pub fn mend(&mut self, tell: &mut dyn FnMut(&str)) -> Result<(), StackError> {
        for number in 0..self.ledgers.len() {
            self.mend_one(Role::Ledger(number), tell)?;
        }
        for role in [Role::Envoy, Role::Standin] {
            self.mend_one(role, tell)?;
        }
        if let CallsLog::File(log) = &self.calls_log {
            // If the log cannot be renamed, Envoy goes on writing to it. If Envoy is gone, it opens a new log
            // when it is started again.
            if calls_log::move_away(log).unwrap_or(false) {
                let _ = self.reopen_logs();
            }
        }
        Ok(())
    }

    /// The same while Envoy is drained: an Envoy that is gone stays gone.
    pub(crate) fn mend_for_drain(&mut self) {
        let ledgers = (0..self.ledgers.len()).map(Role::Ledger);
        for role in ledgers.chain([Role::Standin]) {
            // If a process cannot be mended, the drain will say what is left.
            let _ = self.mend_one(role, &mut |_| ());
        }
    }

    fn mend_one(&mut self, role: Role, tell: &mut dyn FnMut(&str)) -> Result<(), StackError> {
        let now = Instant::now();
        let Some((Some(process), deaths)) = self.part(role) else { return Ok(()) };
        // A log that cannot be cut is no reason to end.
        let _ = logs::rotate(&process.log, logs::LIMIT_BYTES);
        let Some(status) = process.ended() else { return Ok(()) };
        let (name, log) = (process.name, process.log.clone());
        let Some(due) = deaths.due else {
            let died = process.check();
            return self.mend_later(role, died, &format!("{name} {}", process::describe(status)), tell);
        };
        if now < due {
            return Ok(());
        }
        let command = self.command(role);
        let started = match Process::start(name, command, log) {
            Ok(started) => started,
            Err(error) => {
                let why = error.to_string();
                return self.mend_later(role, Err(error), &why, tell);
            }
        };
        if let Some((slot, deaths)) = self.part(role) {
            *slot = Some(started);
            (deaths.due, deaths.started) = (None, Some(now));
        }
        Ok(())
    }

    /// The process is dead: it will be started again after a wait. If that has not helped so far, this gives
    /// `died`, which says why.
    fn mend_later(
        &mut self,
        role: Role,
        died: Result<(), StackError>,
        how: &str,
        tell: &mut dyn FnMut(&str),
    ) -> Result<(), StackError> {
        let Some((slot, deaths)) = self.part(role) else { return Ok(()) };
        let wait = deaths.died(Instant::now());
        let log = slot.as_ref().map(|process| process.log.display().to_string()).unwrap_or_default();
        // As long as another ledger runs, calls are served without this one.
        if deaths.cannot_be_mended() && !self.is_replaced(role) {
            let waiting = self.stat(OUTBOX_GAUGE).filter(|_| matches!(role, Role::Ledger(_))).unwrap_or(0);
            if waiting == 0 {
                return died;
            }
            tell(&format!(
                "{waiting} debits wait for the ledger in Envoy's memory: mend it, and do not stop the gateway"
            ));
        }
        tell(&format!("{how}; it is started again in {} ms (its log: {log})", wait.as_millis()));
        Ok(())
    }

    /// Whether others do a process's work while it is away.
    fn is_replaced(&mut self, role: Role) -> bool {
        matches!(role, Role::Ledger(_)) && self.ledgers.iter_mut().any(Ledger::runs)
    }

    fn part(&mut self, role: Role) -> Option<(&mut Option<Process>, &mut Deaths)> {
        match role {
            Role::Ledger(number) => {
                self.ledgers.get_mut(number).map(|ledger| (&mut ledger.process, &mut ledger.deaths))
            }
            Role::Envoy => Some((&mut self.envoy, &mut self.mending.envoy)),
            Role::Standin => Some((&mut self.standin, &mut self.mending.standin)),
        }
    }

    fn command(&self, role: Role) -> Command {
        match role {
            Role::Ledger(number) => self.ledger_command(number),
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
        while !deaths.cannot_be_mended() {
            let wait = deaths.died(now);
            waits.push(wait.as_millis());
            now += wait;
            deaths.started = Some(now);
            now += Duration::from_secs(1);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200]);
        now += STEADY;
        assert_eq!(deaths.died(now), FIRST_WAIT, "it had come up");
        assert!(!deaths.cannot_be_mended());
    }
}
