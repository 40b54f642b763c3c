//! Whether a process that made something is still there. For people: nothing depends on it. Callers: ls.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// The process with this id lives, and is the one that was there at that time (nanoseconds since 1970): ids are used again.
pub fn lives(pid: u64, at_ns: u64) -> bool {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    match test_kill_process(id) {
        Ok(()) | Err(Errno::PERM) => {}
        Err(_) => return false,
    }
    // To the second, and the clock may have been set since: in doubt it is the same.
    started(pid).is_none_or(|seconds| seconds <= at_ns / 1_000_000_000 + 2)
}

/// When a process was started, in seconds since 1970.
fn started(pid: u64) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let boot = read("/proc/stat")?
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok())?;
    let stat = read(&format!("/proc/{pid}/stat"))?;
    // Field 22 counts ticks since the start of the machine; the name before it may hold anything.
    let ticks: u64 = stat.rsplit_once(") ")?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(boot + ticks / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn who_was_started_later_is_somebody_else() {
        let own = u64::from(std::process::id());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(started(own).unwrap().abs_diff(now.as_secs()) < 3600 * 24);
        assert!(lives(own, u64::try_from(now.as_nanos()).unwrap()));
        assert!(!lives(own, 1_000_000_000), "in 1970 there was another one");
        assert!(!lives(0, 0) && !lives(u64::from(u32::MAX), 0) && !lives(4_194_304 + 7, u64::MAX));
    }
}
