//! The program: it starts itself again for each scene, in a process and a directory of its own.

use crate::plays::Play;
use crate::{sweep, trace};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Names the scene that this process has to run; such a process has one thread.
const SCENE: &str = "PRODCON_KILL_SCENE";
const DIRECTORY: &str = "PRODCON_KILL_DIRECTORY";

/// The program: a scene, if the environment names one, or a process for each.
pub(crate) fn main(plays: fn() -> Vec<Play>) -> ExitCode {
    if let Ok(name) = std::env::var(SCENE) {
        run_scene(
            plays(),
            &name,
            Path::new(&std::env::var_os(DIRECTORY).unwrap()),
        );
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let obstacle = trace::forbidden();
    if let Some(why) = &obstacle {
        println!("SKIPPED: {why}");
    }
    let trial = |play: Play| {
        Trial::test(play.name.clone(), move || start(&play.name))
            .with_ignored_flag(obstacle.is_some())
    };
    let trials = plays().into_iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A scene in a process and a directory of its own.
fn start(name: &str) -> Result<(), Failed> {
    let dir = Directory::new(name);
    let mut command = Command::new(std::env::current_exe()?);
    command.env(SCENE, name).env(DIRECTORY, &dir.0);
    // Functions are bound before the operation, not by it.
    let output = command
        .env("LD_BIND_NOW", "1")
        .env("RUST_BACKTRACE", "0")
        .output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        Ok(())
    } else {
        Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
        .into())
    }
}

/// Removed with all that is in it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.into()
        } else {
            std::env::temp_dir()
        };
        let dir = parent.join(format!("prodcon-kill-{}-{name}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// In a process of its own.
fn run_scene(plays: Vec<Play>, name: &str, dir: &Path) {
    // SAFETY: asks for a signal; touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let handler: extern "C" fn(libc::c_int) = a_second_passed;
    // SAFETY: the handler calls only async-signal-safe functions.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    let second = libc::timeval {
        tv_sec: 1,
        tv_usec: 0,
    };
    let every_second = libc::itimerval {
        it_interval: second,
        it_value: second,
    };
    // SAFETY: sets this process's alarm clock from a valid itimerval; null: the old one does not matter.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &every_second, std::ptr::null_mut()) };
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let (k, deed) = sweep::place();
        eprintln!("after {k} instructions, {deed:?}");
        default(info);
    }));
    let play = plays
        .into_iter()
        .find(|play| play.name == name)
        .expect("a scene of that name");
    let began = Instant::now();
    let figures = (play.run)(dir, sweep::Policy::of_environment());
    println!("{name}: {figures}, {:.1} s", began.elapsed().as_secs_f64());
}

/// Ends the process if nothing has moved for a minute.
extern "C" fn a_second_passed(_: libc::c_int) {
    if sweep::SECONDS.fetch_add(1, Ordering::Relaxed) < 60 {
        return;
    }
    let mut text = *b"hangs: after 00000000 instructions of the child\n";
    let mut left = sweep::place().0;
    for digit in text[13..21].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    // SAFETY: writes a buffer of this length.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    // SAFETY: ends the process; its children go with it.
    unsafe { libc::_exit(99) };
}
