//! Cores, clocks and processor time: thin covers of the system's calls.

use std::fs;
use std::time::Duration;

/// Nanoseconds of CLOCK_MONOTONIC, which all processes share.
#[inline]
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid pointer to a timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The processors that this process may run on: one of each core first, then their siblings.
pub fn cores() -> Vec<usize> {
    // SAFETY: a cpu_set_t is an array of integers.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: a valid pointer to a cpu_set_t and its size; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return vec![];
    }
    let allowed = |cpu: usize| {
        // SAFETY: the number is below the set's size.
        unsafe { libc::CPU_ISSET(cpu, &set) }
    };
    let (mut first, mut siblings, mut seen) = (vec![], vec![], vec![]);
    for cpu in (0..libc::CPU_SETSIZE as usize).filter(|cpu| allowed(*cpu)) {
        let core = fs::read_to_string(format!(
            "/sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list"
        ))
        .unwrap_or_else(|_| cpu.to_string());
        if seen.contains(&core) {
            siblings.push(cpu);
        } else {
            seen.push(core);
            first.push(cpu);
        }
    }
    first.extend(siblings);
    first
}

/// Keeps the calling thread on one processor.
pub fn pin(cpu: usize) {
    // SAFETY: a cpu_set_t is an array of integers.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number came from `cores`, so it is below the set's size.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: a valid pointer to a cpu_set_t and its size; 0 is the calling thread.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
}

/// Processor time that this process has used, user and system.
pub fn used() -> Duration {
    usage(libc::RUSAGE_SELF)
}

/// Processor time that this thread has used, user and system.
pub fn used_by_thread() -> Duration {
    usage(libc::RUSAGE_THREAD)
}

fn usage(whose: libc::c_int) -> Duration {
    // SAFETY: an rusage is integers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a valid pointer to an rusage.
    unsafe { libc::getrusage(whose, &raw mut usage) };
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Processor time of another process, all of its threads, to the nanosecond. `None` if the kernel does not tell.
pub fn used_by(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of = |thread: fs::DirEntry| {
        fs::read_to_string(thread.path().join("schedstat"))
            .ok()?
            .split(' ')
            .next()?
            .parse::<u64>()
            .ok()
    };
    threads
        .flatten()
        .map(of)
        .sum::<Option<u64>>()
        .map(Duration::from_nanos)
}

/// Ticks that the hypervisor took from this machine's processors.
pub fn steal() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.split_whitespace()
        .nth(8)
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or(0)
}

/// What part of all processors' time is used, looked at for this time by a sleeping process.
pub fn busy(time: Duration) -> f64 {
    let ticks = || {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or("")
            .split_whitespace()
            .skip(1)
            .take(8)
            .map_while(|ticks| ticks.parse().ok())
            .collect();
        let idle = ticks.get(3).unwrap_or(&0) + ticks.get(4).unwrap_or(&0);
        (ticks.iter().sum::<u64>(), idle)
    };
    let before = ticks();
    std::thread::sleep(time);
    let after = ticks();
    let (all, idle) = (after.0 - before.0, after.1 - before.1);
    if all == 0 {
        0.0
    } else {
        1.0 - idle as f64 / all as f64
    }
}

/// The processor's name.
pub fn model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'));
    line.map_or_else(
        || format!("unknown ({})", std::env::consts::ARCH),
        |(_, name)| name.trim().to_owned(),
    )
}

/// The date today, in UTC, as `2026-11-28`.
pub fn today() -> String {
    // SAFETY: no pointers.
    let now = unsafe { libc::time(std::ptr::null_mut()) };
    // SAFETY: a tm is integers and a pointer that may be null.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: valid pointers to a time_t and a tm.
    unsafe { libc::gmtime_r(&raw const now, &raw mut parts) };
    let libc::tm {
        tm_year,
        tm_mon,
        tm_mday,
        ..
    } = parts;
    format!("{}-{:02}-{:02}", 1900 + tm_year, tm_mon + 1, tm_mday)
}

/// The kernel's release.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Kills this process when its parent's thread ends. To be called between fork and exec: async-signal-safe.
pub(crate) fn die_with_parent(parent: u32) {
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: no arguments.
    if unsafe { libc::getppid() } as u32 != parent {
        // SAFETY: ends the process, which is a fresh fork.
        unsafe { libc::_exit(1) };
    }
}

/// Sends a signal to a process that this one started and has not waited for.
pub fn signal(pid: u32, signal: libc::c_int) {
    // SAFETY: no pointers; the process is ours and not reaped, so the number is not another's.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}
