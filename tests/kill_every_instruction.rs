//! Kills a child after EACH instruction of an operation and looks at what is left: the claim of the crate, taken at its word, in the compiled code.
//!
//! Operations: put (typed, bytes, many, refused), overwrite, a put that discards a cleared item, reserve and commit, get and take with acknowledgement (at most once and at least
//! once, bytes, many, behind a cleared item), a put into the block just acknowledged, nack (and nack that is kept), adoption, clear, set_not_ready, set_ready, attach, close with and
//! without an item in hand; recovery of each state that a kill in these leaves, and an attach over such a seat, so that two or three deaths follow each other.
//!
//! Each is done with every kill point twice. *Quiet*: the queue is examined as it was left, and must be in one of the stages that the scene lists (which items are left, each with its
//! delivery count; what was acknowledged, dropped, cleared, lost, redelivered), never in an earlier one than after the instruction before; each stage must be met. *Busy*: a
//! bystander puts and gets while the child stands still at that instruction, or when it has just been killed; then nothing may have come twice, out of order or torn, and nothing may be
//! missing that is not counted. Then, both times: `doctor` is content with and without a live endpoint, nothing is undecided, the accounts add up, all seats can be attached at once, and
//! `capacity` items go in and out through all of them, twice.
//!
//! How: `stage` makes a queue and examines it, `sweep` chooses the kill points and goes to them, `trace` is ptrace, `scenes` and `plays` are the operations. ptrace and fork want a process
//! with one thread, so this program starts itself again for each scene (`PRODCON_KILL_SCENE`); the children are forked from that. Kill points are all instructions of this program's
//! text (that is the crate and what it uses of `std`), every 16th of the C library's and the vdso's, and all before and behind a system call.
//!
//! ```text
//! cargo test --test kill_every_instruction                 all scenes; `-- NAME` for some
//! PRODCON_EVERY_INSTRUCTION=1 cargo test --test ...        the long form: every instruction anywhere, no scene shortened
//! cargo test --release --test kill_every_instruction       the code exactly as it is shipped
//! PRODCON_STRIDE=10 cargo test --test ...                  every tenth kill point alone
//! ```
//!
//! PLANTS

#[path = "kill_every_instruction/alike.rs"]
mod alike;
#[path = "kill_every_instruction/many.rs"]
mod many;
#[path = "kill_every_instruction/plays.rs"]
mod plays;
#[path = "kill_every_instruction/scenes.rs"]
mod scenes;
#[path = "kill_every_instruction/stage.rs"]
mod stage;
#[path = "kill_every_instruction/sweep.rs"]
mod sweep;
#[path = "kill_every_instruction/trace.rs"]
mod trace;

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Names the scene that this process has to run; such a process has one thread.
const SCENE: &str = "PRODCON_KILL_SCENE";
const DIRECTORY: &str = "PRODCON_KILL_DIRECTORY";

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(SCENE) {
        run_scene(&name, Path::new(&std::env::var_os(DIRECTORY).unwrap()));
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let obstacle = trace::forbidden();
    if let Some(why) = &obstacle {
        println!("SKIPPED: {why}");
    }
    let trial = |play: plays::Play| Trial::test(play.name.clone(), move || start(&play.name)).with_ignored_flag(obstacle.is_some());
    let trials = plays::all().into_iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A scene in a process and a directory of its own.
fn start(name: &str) -> Result<(), Failed> {
    let dir = Directory::new(name);
    let mut command = Command::new(std::env::current_exe()?);
    command.env(SCENE, name).env(DIRECTORY, &dir.0);
    // Functions are bound before the operation, not by it.
    let output = command.env("LD_BIND_NOW", "1").env("RUST_BACKTRACE", "0").output()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// Removed with all that is in it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
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
fn run_scene(name: &str, dir: &Path) {
    // SAFETY: asks for a signal; touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let handler: extern "C" fn(libc::c_int) = hanging;
    // SAFETY: the handler calls only async-signal-safe functions.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let (k, deed) = sweep::place();
        eprintln!("after {k} instructions, {deed:?}");
        default(info);
    }));
    let play = plays::all().into_iter().find(|play| play.name == name).expect("a scene of that name");
    let began = Instant::now();
    let figures = (play.run)(dir, sweep::Policy::of_environment());
    println!("{name}: {figures}, {:.1} s", began.elapsed().as_secs_f64());
}

/// Nothing moved for a minute.
extern "C" fn hanging(_: libc::c_int) {
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
