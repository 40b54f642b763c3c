//! Kills a child after each instruction of an operation and examines the queue each time.
//!
//! The operation is stepped through once, which gives its path: the address of each instruction. For each kill a fresh child runs at full speed to a breakpoint at the last
//! instruction on the way that the path meets there for the first time, and is stepped from there; so the cost does not grow with the square of the length.

use crate::stage::{After, Examined, Stage};
use crate::trace::{Child, Stop};
use prodcon::Options;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// An operation and what may have become of the queue when it is cut short.
pub(crate) struct Scene {
    pub(crate) name: String,
    pub(crate) options: Options,
    /// Makes the state that the operation finds.
    pub(crate) before: Box<dyn Fn(&mut Stage)>,
    /// The child: attaches, `mark`, the operation, `mark`; 0 if the operation answered as it should.
    pub(crate) child: Box<dyn Fn(&Path) -> i32>,
    /// What may be left after a kill, in the order in which the operation comes through it.
    pub(crate) stages: Vec<After>,
    /// Kills are made in so many instructions at its end alone, because another scene goes through what comes before.
    pub(crate) last: usize,
}

/// Where kills are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Of the instructions of this program: every n-th.
    pub(crate) own: usize,
    /// Of those of the C library and the kernel's shared page: every n-th. Before and after a system call always.
    pub(crate) foreign: usize,
    /// No scene is shortened.
    pub(crate) every: bool,
}

impl Policy {
    /// As the environment says.
    pub(crate) fn of_environment() -> Self {
        let stride = std::env::var("PRODCON_STRIDE")
            .map_or(1, |text| text.parse().expect("PRODCON_STRIDE is a number"))
            .max(1);
        let every = std::env::var("PRODCON_EVERY_INSTRUCTION").is_ok_and(|text| text == "1");
        Self {
            own: stride,
            foreign: if every { stride } else { 16 * stride },
            every,
        }
    }
}

/// The instructions from the first mark to the second.
pub(crate) struct Way {
    /// Address of the next instruction after 0, 1, .. of them.
    addresses: Vec<u64>,
    /// Where to kill: after so many instructions.
    pub(crate) points: Vec<usize>,
    /// How to come to each of them fast.
    landings: Vec<Landing>,
}

/// By a breakpoint that is hit for the `times`th time after `at` instructions (0: there is none), and steps from there.
#[derive(Clone, Copy)]
struct Landing {
    at: usize,
    times: usize,
    cost: usize,
}

/// What one more hit of a breakpoint costs, in single steps.
const HIT: usize = 4;

impl Way {
    /// Goes it once, to the second mark.
    fn go(child: &mut Child, policy: Policy) -> Self {
        let own = own_text();
        let mut met = HashMap::new();
        let mut way = Self {
            addresses: vec![],
            points: vec![],
            landings: vec![],
        };
        let mut landing = Landing { at: 0, times: 0, cost: 0 };
        let (mut own_seen, mut foreign_seen, mut last_was) = (0, 0, (true, true));
        loop {
            let (k, address) = (way.addresses.len(), child.pc());
            let times = met.entry(address).or_insert(0);
            *times += 1;
            if k > 0 {
                landing.cost += 1;
                if *times * HIT < landing.cost {
                    landing = Landing {
                        at: k,
                        times: *times,
                        cost: *times * HIT,
                    };
                }
            }
            way.landings.push(landing);
            way.addresses.push(address);
            let (was_own, was_call) = last_was;
            let call = child.before_system_call();
            let (seen, stride) = if was_own {
                (&mut own_seen, policy.own)
            } else {
                (&mut foreign_seen, policy.foreign)
            };
            if call || was_call || *seen % stride == 0 {
                way.points.push(k);
            }
            *seen += 1;
            last_was = (own.iter().any(|range| range.contains(&address)), call);
            match child.step() {
                Stop::Trap => {}
                Stop::Mark => return way,
                other => panic!("after {k} instructions: {other:?}"),
            }
        }
    }

    fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Lets a child at its first mark go on until it has executed `k` instructions. False: it took another way.
    pub(crate) fn forward(&self, child: &mut Child, k: usize) -> bool {
        let Landing { at, times, .. } = self.landings[k];
        for time in 0..times {
            if (time > 0 && child.step() != Stop::Trap) || child.run_to(self.addresses[at]) != Stop::Trap {
                return false;
            }
        }
        (at..k).all(|_| child.step() == Stop::Trap) && child.pc() == self.addresses[k]
    }
}

/// Where this program's own code lies.
fn own_text() -> Vec<Range<u64>> {
    let program = std::env::current_exe().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let executable = maps.lines().filter(|line| line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap()));
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    executable
        .map(|line| line.split(' ').next().unwrap().split_once('-').unwrap())
        .map(|(from, to)| hex(from)..hex(to))
        .collect()
}

/// Kills made, and how.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) instructions: usize,
    pub(crate) points: usize,
    pub(crate) kills: usize,
    pub(crate) missed: usize,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.points += other.points;
        self.kills += other.kills;
        self.missed += other.missed;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            instructions,
            points,
            kills,
            missed,
        } = self;
        write!(f, "{instructions} instructions, {points} of them visited, {kills} kills")?;
        if *missed > 0 {
            write!(f, " ({missed} more took another way)")
        } else {
            Ok(())
        }
    }
}

/// Where the sweep is, for who looks at one that failed or hangs: instructions and whether the bystander is at work.
static AT: AtomicU64 = AtomicU64::new(0);

/// Kills at this point come next. Nothing takes longer than a minute.
fn at(k: usize, busy: bool) {
    AT.store((k as u64) << 1 | u64::from(busy), Ordering::Relaxed);
    // SAFETY: sets this process's alarm clock.
    unsafe { libc::alarm(60) };
}

/// Where the sweep is.
pub(crate) fn place() -> (u64, bool) {
    let at = AT.load(Ordering::Relaxed);
    (at >> 1, at & 1 == 1)
}

/// The operation's way, after one whole run that was examined too.
pub(crate) fn explore(scene: &Scene, dir: &Path, policy: Policy) -> Way {
    at(0, false);
    let stage = set_up(scene, dir);
    let mut child = Child::at_mark(|| (scene.child)(&stage.dir));
    let mut way = Way::go(&mut child, policy);
    if !policy.every {
        let from = way.len().saturating_sub(scene.last);
        way.points.retain(|k| *k >= from);
    }
    let end = child.run();
    assert_eq!(end, Stop::Exited(0), "the operation did not end as it should");
    stage.wait_for_seats();
    let found = stage.examine();
    assert_eq!(Some(&found.after), scene.stages.last(), "after the whole operation: {found:?}");
    way
}

fn set_up(scene: &Scene, dir: &Path) -> Stage {
    let mut stage = Stage::new(dir, scene.options.clone());
    (scene.before)(&mut stage);
    stage
}

/// Starts the operation's child and kills it after `k` instructions. `busy`: the bystander works on, while the child stands there or when it is dead.
/// False: the child took another way.
pub(crate) fn kill(stage: &mut Stage, scene: &Scene, way: &Way, k: usize, busy: bool) -> bool {
    let mut child = Child::at_mark(|| (scene.child)(&stage.dir));
    let arrived = way.forward(&mut child, k);
    let bystand = |stage: &mut Stage| stage.bystand(k as u64 / 2 % 3, k as u64 / 6 % 3);
    if busy && k.is_multiple_of(2) {
        bystand(stage);
    }
    child.kill();
    if busy && !k.is_multiple_of(2) {
        bystand(stage);
    }
    stage.wait_for_seats();
    arrived
}

/// All kills of a scene.
pub(crate) fn sweep(scene: &Scene, dir: &Path, policy: Policy) -> Figures {
    let way = explore(scene, dir, policy);
    let mut figures = Figures {
        instructions: way.len(),
        points: way.points.len(),
        ..Figures::default()
    };
    let mut seen = vec![0; scene.stages.len()];
    let mut reached = 0;
    for &k in &way.points {
        for busy in [false, true] {
            at(k, busy);
            let mut stage = set_up(scene, dir);
            let arrived = kill(&mut stage, scene, &way, k, busy);
            let found = stage.examine();
            if !arrived {
                figures.missed += 1;
                continue;
            }
            figures.kills += 1;
            if busy {
                found.consistent(&scene.stages).unwrap_or_else(|what| panic!("{what}: {found:?}"));
            } else {
                let stage = stage_of(scene, &found);
                assert!(stage >= reached, "what had happened is undone: {found:?}");
                reached = stage;
                seen[stage] += 1;
            }
        }
    }
    assert!(
        figures.missed * 50 <= figures.kills,
        "too many children took another way than the first: {figures}"
    );
    if policy.own == 1 {
        assert!(!seen.contains(&0), "a stage was never met, kills at each: {seen:?}");
    }
    figures
}

fn stage_of(scene: &Scene, found: &Examined) -> usize {
    let place = scene.stages.iter().position(|stage| *stage == found.after);
    place.unwrap_or_else(|| panic!("found {:?}\nexpected one of {:#?}", found.after, scene.stages))
}

/// The states in which a killed child can leave the queue to those who come after it: after how many instructions each begins, and what it comes to.
pub(crate) fn states(scene: &Scene, dir: &Path, policy: Policy) -> (Way, Vec<(usize, After)>) {
    let way = explore(scene, dir, policy);
    let mut states = vec![];
    let mut last = None;
    for &k in &way.points {
        at(k, false);
        let mut stage = set_up(scene, dir);
        let arrived = kill(&mut stage, scene, &way, k, false);
        let raw = Some(stage.control.stats().unwrap());
        let found = stage.examine();
        if arrived && raw != last {
            last = raw;
            states.push((k, found.after));
        }
    }
    (way, states)
}
