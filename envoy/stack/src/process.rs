//! Child processes that cannot outlive this one.

use crate::{StackError, logs};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// A process of the stack, its output in a log file. Killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    pub name: &'static str,
    pub log: PathBuf,
    /// Where this process's lines begin in its log, which has those of earlier ones too.
    log_begins: u64,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` in a process group of its own (so Ctrl-C at the terminal reaches only this process,
    /// which passes it on), with its output appended to `log`.
    ///
    /// # Errors
    /// [`StackError::Io`] if it cannot be started.
    pub fn start(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self, StackError> {
        // If the log cannot be cut, it is written on.
        let _ = logs::rotate(&log, logs::LIMIT_BYTES);
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let out = open().map_err(StackError::io("write", &log))?;
        let log_begins = out.metadata().map_or(0, |meta| meta.len());
        let err = out.try_clone().map_err(StackError::io("write", &log))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let program = PathBuf::from(command.get_program());
        let child = spawn(command).map_err(StackError::io("start", &program))?;
        Ok(Self { name, log, log_begins, child, ended: None })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, None while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// An error when it has ended: which one, how, and the end of its log.
    ///
    /// # Errors
    /// [`StackError::Died`].
    pub fn check(&mut self) -> Result<(), StackError> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(StackError::Died {
                name: self.name.to_string(),
                how: describe(status),
                log: self.log.clone(),
                tail: self.tail(),
            }),
        }
    }

    /// The last lines that it has written.
    pub fn tail(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        // If the log is shorter than that, it was cut meanwhile: then all of it is this process's.
        let begins = usize::try_from(self.log_begins).unwrap_or(0);
        let text = String::from_utf8_lossy(bytes.get(begins..).unwrap_or(&bytes));
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
        if last.is_empty() { "  (empty)".to_string() } else { format!("  {}", last.join("\n  ")) }
    }

    /// SIGTERM, then SIGKILL after `patience`.
    pub fn stop(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.signal(libc::SIGTERM);
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// SIGKILL to its whole process group.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            self.signal(libc::SIGKILL);
            self.ended = self.child.wait().ok();
        }
    }

    fn signal(&self, signal: libc::c_int) {
        if self.ended.is_some() {
            return;
        }
        if let Ok(group) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: kill takes two numbers; the group is our child's, which was not waited for yet, so that
            // its id cannot be another's.
            unsafe { libc::kill(-group, signal) };
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_string(),
    }
}

type Job = (Command, Sender<std::io::Result<Child>>);

/// Starts a child that the kernel kills when this process is gone, however it went.
///
/// `PR_SET_PDEATHSIG` fires when the *thread* that started the child ends, and test threads and blocking-pool
/// threads end early: so all children are started by one thread that lives as long as the process.
fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let gone = || std::io::Error::other("the thread that starts processes is gone");
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = channel::<Job>();
        std::thread::spawn(move || {
            for (command, reply) in inbox {
                // The caller may be gone. Then the child is dropped, and PDEATHSIG ends it later.
                let _ = reply.send(spawn_here(command));
            }
        });
        Mutex::new(jobs)
    });
    let (reply, answer) = channel();
    let jobs = spawner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    jobs.send((command, reply)).map_err(|_| gone())?;
    drop(jobs);
    answer.recv().map_err(|_| gone())?
}

fn spawn_here(mut command: Command) -> std::io::Result<Child> {
    let parent = std::process::id();
    // SAFETY: between fork and exec only prctl and getppid are called, both async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have died before the line above.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(std::io::Error::other("the parent is gone"));
            }
            Ok(())
        });
    }
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Process {
        let log =
            std::env::temp_dir().join(format!("pax-stack-test-{}.log", crate::ports::random_hex(4).unwrap()));
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("a shell", command, log).unwrap()
    }

    #[test]
    fn a_process_that_ended_is_named_with_its_status_and_the_end_of_its_log() {
        let mut process = start("echo what went wrong; exit 3");
        let deadline = Instant::now() + Duration::from_secs(10);
        while process.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let error = process.check().unwrap_err().to_string();
        assert!(error.contains("a shell exited with status 3"), "{error}");
        assert!(error.contains("what went wrong"), "{error}");
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let mut process = std::thread::spawn(|| start("sleep 60")).join().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(process.ended().is_none());
        process.stop(Duration::from_secs(5));
        assert!(process.ended().is_some());
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed_with_its_children() {
        let mut process = start("trap '' TERM; sleep 61 & wait; sleep 62");
        std::thread::sleep(Duration::from_millis(100));
        let group = libc::pid_t::try_from(process.id()).unwrap();
        process.stop(Duration::from_millis(100));
        let deadline = Instant::now() + Duration::from_secs(10);
        // SAFETY: signal 0 only asks whether the group still has a member.
        while unsafe { libc::kill(-group, 0) } == 0 {
            assert!(Instant::now() < deadline, "a member of the group is left");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
