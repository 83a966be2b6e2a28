//! Which core a process runs on, how long it ran, and how much memory it holds.

use crate::BenchError;
use std::collections::BTreeMap;
use std::path::Path;

/// The cores that this process may use, in order.
pub fn cores() -> Vec<usize> {
    // SAFETY: the set is plain bits, all zero is the empty one, and the kernel writes no more than its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        set
    };
    let most = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: the number is below the set's size.
    (0..most).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}

/// Puts one thread (0: this one) on one core. Threads and processes that it starts later stay there too.
fn pin_thread(thread: libc::pid_t, core: usize) -> std::io::Result<()> {
    // SAFETY: as in `cores`; the kernel reads the set.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Puts this thread on one core, and with it every child and thread that it starts from now on.
///
/// # Errors
/// [`BenchError::System`].
pub fn pin_self(core: usize) -> Result<(), BenchError> {
    pin_thread(0, core).map_err(BenchError::system("pin this process to a core"))
}

/// Puts every thread of a process on one core.
///
/// # Errors
/// [`BenchError::System`].
pub fn pin_process(pid: u32, core: usize) -> Result<(), BenchError> {
    let failed = || BenchError::system("pin Envoy to a core");
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).map_err(failed())? {
        let name = thread.map_err(failed())?.file_name();
        if let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) {
            pin_thread(thread, core).map_err(failed())?;
        }
    }
    Ok(())
}

/// The CPU time of all threads of a process so far, user and system, in nanoseconds: what /proc/PID/stat says
/// in ticks of 10 ms.
///
/// # Errors
/// [`BenchError::System`] when the process is gone.
pub fn time_ns(pid: u32) -> Result<u64, BenchError> {
    let failed = || BenchError::system("read Envoy's CPU time");
    let pid = libc::pid_t::try_from(pid).map_err(std::io::Error::other).map_err(failed())?;
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write one value each.
    let status = unsafe {
        match libc::clock_getcpuclockid(pid, &raw mut clock) {
            0 if libc::clock_gettime(clock, &raw mut time) == 0 => 0,
            0 => *libc::__errno_location(),
            error => error,
        }
    };
    if status != 0 {
        return Err(failed()(std::io::Error::from_raw_os_error(status)));
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Ok(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// The CPU time of each thread of a process so far, by the thread's name, in nanoseconds; nothing where the
/// kernel does not say.
pub fn thread_times_ns(pid: u32) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let read = |name: &str| std::fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let time = read("schedstat").split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0);
        *times.entry(read("comm").trim().to_string()).or_insert(0) += time;
    }
    times
}

/// The resident memory of a process, in KiB.
///
/// # Errors
/// [`BenchError::System`] when the process is gone.
pub fn resident_kib(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let status =
        std::fs::read_to_string(Path::new(&path)).map_err(BenchError::system("read Envoy's memory"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    number.ok_or_else(|| BenchError::Failed(format!("{path} has no VmRSS: the process is ending")))
}

/// The CPU time that the whole machine has used so far, all cores, in nanoseconds, with what the hypervisor took:
/// counted in ticks of 10 ms.
pub fn machine_ns() -> u64 {
    let ticks = machine_ticks();
    let busy = |(index, ticks): (usize, &u64)| if index == 3 || index == 4 { 0 } else { *ticks };
    ticks.iter().take(8).enumerate().map(busy).sum::<u64>() * 10_000_000
}

/// What the hypervisor gave to other guests while this one had work, all cores, in nanoseconds.
pub fn stolen_ns() -> u64 {
    machine_ticks().get(7).copied().unwrap_or(0) * 10_000_000
}

/// The first line of /proc/stat: user nice system idle iowait irq softirq steal.
fn machine_ticks() -> Vec<u64> {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.split_ascii_whitespace().skip(1).filter_map(|it| it.parse().ok()).collect()
}

/// The CPU's name.
pub fn model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names = text.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    names.map(|(_, name)| name.trim().to_owned()).next().unwrap_or_else(|| "of an unknown name".to_owned())
}

/// The load averages, as the system writes them.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
