//! Kills a child after each instruction of an operation and examines the queue each time.
//!
//! The operation is stepped through, which gives its way: the address of each instruction. For each kill a fresh child runs at full speed to a breakpoint near the kill point and is stepped
//! from there; so the cost does not grow with the square of the length. Every child must take the same way (`alike`), and each is checked to stand where it should before it is killed.

use crate::fixture::{After, Examined, Fixture};
use crate::trace::{Child, Stop};
use prodcon::QueueOptions;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// An operation and what may have become of the queue when it is cut short.
pub(crate) struct Scene {
    pub(crate) name: String,
    pub(crate) options: QueueOptions,
    /// The queue has a dead-letter queue.
    pub(crate) letters: bool,
    /// Others who work end the stream.
    pub(crate) ends: bool,
    /// Makes the state that the operation finds. Returns false if it has to be tried again.
    pub(crate) before: Box<dyn Fn(&mut Fixture) -> bool>,
    /// The child: attaches, `mark`, the operation, `mark`; 0 if the operation answered as it should.
    pub(crate) child: Box<dyn Fn(&Path) -> i32>,
    /// What may be left after a kill, in the order in which the operation comes through it.
    pub(crate) stages: Vec<After>,
    /// Kills are made in this many instructions at its end alone, because another scene goes
    /// through what comes before.
    pub(crate) last: usize,
    /// Somebody else works at every n-th kill point.
    pub(crate) busy_every: usize,
}

/// Where kills are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Of the instructions of this program: every n-th.
    pub(crate) own: usize,
    /// Of those of the C library and the kernel's shared page: every n-th. Before and after a system call always.
    pub(crate) foreign: usize,
    /// No scene is shortened, and no loop.
    pub(crate) every: bool,
    /// The environment says at which instructions.
    pub(crate) asked: bool,
}

impl Policy {
    /// As the environment says.
    pub(crate) fn of_environment() -> Self {
        let asked = std::env::var("PRODCON_STRIDE")
            .map(|text| text.parse().expect("PRODCON_STRIDE is a number"));
        let stride = asked.as_ref().map_or(1, |stride: &usize| *stride).max(1);
        let every = std::env::var("PRODCON_EVERY_INSTRUCTION").is_ok_and(|text| text == "1");
        Self {
            own: stride,
            foreign: if every { stride } else { 16 * stride },
            every,
            asked: asked.is_ok(),
        }
    }

    /// For an operation that is gone through in each of many states: at every third point of each,
    /// unless the environment says otherwise.
    pub(crate) fn of_many_states(self) -> Self {
        let further = if self.every || self.asked { 1 } else { 3 };
        Self {
            own: self.own * further,
            foreign: self.foreign * further,
            ..self
        }
    }
}

/// The instructions from the first mark to the second.
pub(crate) struct Way {
    /// Address of the next instruction after 0, 1, .. of them.
    addresses: Vec<u64>,
    /// Where to kill: after this many instructions.
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
        let mut landing = Landing {
            at: 0,
            times: 0,
            cost: 0,
        };
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
            let late_round = *times > 8 && *times % 16 != 0 && !policy.every;
            if call || was_call || *seen % stride == 0 && !late_round {
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

    /// Lets a child at its first mark go on until it has executed `k` instructions. False, and it is
    /// said where: it took another way than the one before it.
    fn forward(&self, child: &mut Child, k: usize) -> bool {
        let Landing { at, times, .. } = self.landings[k];
        let stop = self.forward_or_so(child, k);
        let alive = stop == Stop::Trap;
        let there = alive && child.pc() == self.addresses[k];
        if !there {
            println!(
                "another way to {k} of {}: {stop:?} at {:x?}, not at {:x}, after {times} times at {at}",
                self.len(),
                alive.then(|| child.pc()),
                self.addresses[k]
            );
        }
        there
    }

    /// As `forward`, for a child that may take another way: about there, or to its end.
    fn forward_or_so(&self, child: &mut Child, k: usize) -> Stop {
        let Landing { at, times, .. } = self.landings[k];
        let hits = (0..times).flat_map(|time| [(time > 0).then_some(None), Some(Some(at))]);
        let steps = std::iter::repeat_n(None, k - at);
        for to in hits.flatten().chain(steps) {
            let stop = match to {
                None => child.step(),
                Some(at) => child.run_to(self.addresses[at]),
            };
            if stop != Stop::Trap {
                return stop;
            }
        }
        Stop::Trap
    }

    /// Says where another way leaves this one.
    fn difference(&self, other: &Self) -> String {
        let pairs = self.addresses.iter().zip(&other.addresses);
        let fork = pairs.take_while(|(a, b)| a == b).count();
        let around = |way: &Self| {
            let end = way.len().min(fork + 4);
            format!("{:x?}", &way.addresses[fork.saturating_sub(4)..end])
        };
        format!(
            "explored again: {} instructions, not {}, alike for {fork}: {} and {}; code at {:x?}",
            other.len(),
            self.len(),
            around(other),
            around(self),
            own_text()
        )
    }
}

/// Where this program's own code lies.
fn own_text() -> Vec<Range<u64>> {
    let program = std::env::current_exe().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let executable = maps
        .lines()
        .filter(|line| line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap()));
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    executable
        .map(|line| line.split(' ').next().unwrap().split_once('-').unwrap())
        .map(|(from, to)| hex(from)..hex(to))
        .collect()
}

/// Kills made, and how.
#[derive(Default)]
pub(crate) struct Figures {
    instructions: usize,
    points: usize,
    kills: usize,
    goes: usize,
    /// The longest that anybody needed for anything beside a stopped one.
    worst: Option<Duration>,
}

impl Figures {
    fn of_way(&mut self, way: &Way) {
        (self.instructions, self.points) = (way.len(), way.points.len());
    }
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.points += other.points;
        self.kills += other.kills;
        self.goes += other.goes;
        self.worst = self.worst.max(other.worst);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            instructions,
            points,
            kills,
            goes,
            worst,
        } = self;
        if let Some(worst) = worst {
            return write!(
                f,
                "{instructions} instructions, stopped {points} times, worst seen {worst:.1?}"
            );
        }
        write!(
            f,
            "{instructions} instructions, stopped after {points} of them; killed {kills} times, let go on {goes} times"
        )
    }
}

/// What is done when the child has come to a kill point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// It is killed.
    Kill,
    /// Others work on while it stands there, then it is killed.
    WorkThenKill,
    /// It is killed, then others work on before anybody has looked after it.
    KillThenWork,
    /// Others work on, then it goes on itself.
    WorkThenGo,
}

const BUSY: [Deed; 3] = [Deed::WorkThenKill, Deed::KillThenWork, Deed::WorkThenGo];

/// Where the sweep is, to be looked at when one failed or hangs: instructions, and the deed.
static AT: AtomicU64 = AtomicU64::new(0);

/// Seconds that it has been there, without those in which this process was itself stopped.
pub(crate) static SECONDS: AtomicU32 = AtomicU32::new(0);

/// This comes next.
fn at(k: usize, deed: Deed) {
    AT.store((k as u64) << 2 | deed as u64, Ordering::Relaxed);
    SECONDS.store(0, Ordering::Relaxed);
}

/// Where the sweep is.
pub(crate) fn place() -> (u64, Deed) {
    let at = AT.load(Ordering::Relaxed);
    (
        at >> 2,
        [Deed::Kill, BUSY[0], BUSY[1], BUSY[2]][(at & 3) as usize],
    )
}

/// The operation's way, gone again and again. Each whole run is examined too.
pub(crate) fn explore(scene: &Scene, dir: &Path, policy: Policy) -> Way {
    let go = || walk(scene, dir, policy);
    // What this process keeps for its next queues, it has after the first.
    go();
    let mut way = go();
    // Rarely one takes another way; see `at_all_points`.
    let again = (0..3).any(|_| {
        let before = std::mem::replace(&mut way, go());
        before.addresses == way.addresses
    });
    assert!(
        again,
        "children take other ways each time: then no kill can be made where it is meant to be"
    );
    if !policy.every {
        let from = way.len().saturating_sub(scene.last);
        way.points.retain(|k| *k >= from);
    }
    way
}

/// Goes the operation's way once.
fn walk(scene: &Scene, dir: &Path, policy: Policy) -> Way {
    at(0, Deed::Kill);
    let fixture = set_up(scene, dir);
    let mut child = Child::at_mark(|| (scene.child)(&fixture.dir));
    let way = Way::go(&mut child, policy);
    let end = child.run();
    assert_eq!(
        end,
        Stop::Exited(0),
        "the operation did not end as it should"
    );
    fixture.wait_for_seats();
    let found = fixture.examine();
    assert_eq!(
        Some(&found.after),
        scene.stages.last(),
        "after the whole operation: {found:?}"
    );
    way
}

fn set_up(scene: &Scene, dir: &Path) -> Fixture {
    for _ in 0..ATTEMPTS {
        let mut fixture = Fixture::new(dir, scene.options.clone(), scene.letters, scene.ends);
        if (scene.before)(&mut fixture) {
            return fixture;
        }
        fixture.examine();
    }
    panic!("{OTHER_WAYS}");
}

/// Children in a row that may take other ways than the one before them.
const ATTEMPTS: usize = 3;
/// So often the way of one scene may be explored again.
const EXPLORATIONS: usize = 3;
const OTHER_WAYS: &str = "three children took other ways than the one before them";

/// A fixture on which this was done to the operation's child after `k` instructions. None: its children
/// take another way now.
fn set_up_and_cut_short(
    scene: &Scene,
    dir: &Path,
    way: &Way,
    k: usize,
    deed: Deed,
) -> Option<Fixture> {
    for _ in 0..ATTEMPTS {
        let mut fixture = set_up(scene, dir);
        if cut_short(&mut fixture, scene, way, k, deed) {
            return Some(fixture);
        }
        fixture.examine();
    }
    None
}

/// Goes through all points of a way: `there` gets the way, the number of the point, and the point. What
/// the kernel does may change while a scene is played: if `there` finds that the children take another
/// way now, the rest of the points is of that way.
fn at_all_points(
    way: &mut Way,
    explore: impl Fn() -> Way,
    mut there: impl FnMut(&Way, usize, usize) -> Option<()>,
) {
    let (mut number, mut explored) = (0, 0);
    while let Some(&k) = way.points.get(number) {
        if there(way, number, k).is_some() {
            number += 1;
            continue;
        }
        explored += 1;
        assert!(explored <= EXPLORATIONS, "{OTHER_WAYS}");
        let before = std::mem::replace(way, explore());
        println!("{}", before.difference(way));
        number = way.points.partition_point(|point| *point < k);
    }
}

/// Starts the operation's child, lets it execute `k` instructions, and does this. Returns false if
/// it took another way, and was killed somewhere.
pub(crate) fn cut_short(
    fixture: &mut Fixture,
    scene: &Scene,
    way: &Way,
    k: usize,
    deed: Deed,
) -> bool {
    let mut child = Child::at_mark(|| (scene.child)(&fixture.dir));
    if !way.forward(&mut child, k) {
        child.kill();
        fixture.wait_for_seats();
        return false;
    }
    let work = |fixture: &mut Fixture| fixture.work(k as u64 % 3, k as u64 / 3 % 3);
    match deed {
        Deed::Kill => child.kill(),
        Deed::WorkThenKill => {
            work(fixture);
            child.kill();
        }
        Deed::KillThenWork => {
            child.kill();
            work(fixture);
        }
        Deed::WorkThenGo => {
            work(fixture);
            fixture.newcomer();
            let mut stop = child.run();
            while stop == Stop::Mark {
                stop = child.run();
            }
            // 1: another answer than the usual one, because others worked on.
            assert!(
                matches!(stop, Stop::Exited(0 | 1)),
                "it did not end in good order: {stop:?}"
            );
        }
    }
    fixture.wait_for_seats();
    if deed == Deed::WorkThenGo {
        fixture.take_all();
    }
    true
}

/// All kills of a scene.
pub(crate) fn sweep(scene: &Scene, dir: &Path, policy: Policy) -> Figures {
    let explore = || explore(scene, dir, policy);
    let mut way = explore();
    let mut figures = Figures::default();
    let mut seen = vec![0; scene.stages.len()];
    let mut reached = 0;
    at_all_points(&mut way, explore, |way, number, k| {
        let busy = if policy.every {
            &BUSY[..]
        } else if scene.ends {
            // What it does when it goes on is what the scene is about.
            &BUSY[2..]
        } else if number % scene.busy_every == 0 {
            &BUSY[number / scene.busy_every % 3..][..1]
        } else {
            &[]
        };
        for &deed in [Deed::Kill].iter().chain(busy) {
            at(k, deed);
            let fixture = set_up_and_cut_short(scene, dir, way, k, deed)?;
            let found = fixture.examine();
            *(if deed == Deed::WorkThenGo {
                &mut figures.goes
            } else {
                &mut figures.kills
            }) += 1;
            if deed == Deed::Kill {
                reached = stage_of(scene, &found, reached);
                seen[reached] += 1;
            } else {
                found
                    .consistent(&scene.stages, deed == Deed::WorkThenGo)
                    .unwrap_or_else(|what| panic!("{what}: {found:?}"));
            }
        }
        Some(())
    });
    figures.of_way(&way);
    if policy.own == 1 {
        assert!(
            !seen.contains(&0),
            "a stage was never met, kills at each: {seen:?}"
        );
    }
    figures
}

/// Stops the child at each point of its way, and lets it go on when all others have shown that they can
/// work. `alike`: its children all take the same way; else the points are where the first one had them.
/// `beside`: what else the others do.
pub(crate) fn stops(
    scene: &Scene,
    dir: &Path,
    policy: Policy,
    alike: bool,
    beside: &dyn Fn(&mut Fixture),
) -> Figures {
    let explore = || {
        if alike {
            explore(scene, dir, policy)
        } else {
            walk(scene, dir, policy)
        }
    };
    let mut way = explore();
    let mut worst = Duration::ZERO;
    at_all_points(&mut way, explore, |way, _, k| {
        at(k, Deed::WorkThenGo);
        let started = (0..ATTEMPTS).find_map(|_| {
            let fixture = set_up(scene, dir);
            let mut child = Child::at_mark(|| (scene.child)(&fixture.dir));
            if !alike {
                way.forward_or_so(&mut child, k);
            } else if !way.forward(&mut child, k) {
                child.kill();
                fixture.wait_for_seats();
                fixture.examine();
                return None;
            }
            Some((fixture, child))
        });
        let (mut fixture, mut child) = started?;
        worst = worst.max(fixture.all_can_work());
        beside(&mut fixture);
        let mut stop = child.run();
        while stop == Stop::Mark {
            stop = child.run();
        }
        assert!(
            matches!(stop, Stop::Exited(0 | 1)),
            "it did not end in good order: {stop:?}"
        );
        fixture.wait_for_seats();
        fixture.take_all();
        let found = fixture.examine();
        found
            .consistent(&scene.stages, true)
            .unwrap_or_else(|what| panic!("{what}: {found:?}"));
        Some(())
    });
    let mut figures = Figures {
        worst: Some(worst),
        ..Figures::default()
    };
    figures.of_way(&way);
    figures
}

/// The first stage, from the one already reached on, that was found.
fn stage_of(scene: &Scene, found: &Examined, reached: usize) -> usize {
    let is_it = |stage: &After| *stage == found.after;
    match scene.stages[reached..].iter().position(is_it) {
        Some(further) => reached + further,
        None if scene.stages.iter().any(is_it) => panic!("what had happened is undone: {found:?}"),
        None => panic!(
            "found {:?}\nexpected one of {:#?}",
            found.after, scene.stages
        ),
    }
}

/// The states in which a killed child can leave the queue. Each has the number of instructions
/// after which it begins, and what it comes to.
pub(crate) fn states(scene: &Scene, dir: &Path, policy: Policy) -> (Way, Vec<(usize, After)>) {
    let mut way = explore(scene, dir, policy);
    for _ in 0..EXPLORATIONS {
        if let Some(states) = states_of_way(scene, dir, &way) {
            return (way, states);
        }
        let before = std::mem::replace(&mut way, explore(scene, dir, policy));
        println!("{}", before.difference(&way));
    }
    panic!("{OTHER_WAYS}");
}

/// None: the children take another way now.
fn states_of_way(scene: &Scene, dir: &Path, way: &Way) -> Option<Vec<(usize, After)>> {
    let mut states = vec![];
    let mut last = None;
    for &k in &way.points {
        at(k, Deed::Kill);
        let fixture = set_up_and_cut_short(scene, dir, way, k, Deed::Kill)?;
        let raw = Some(fixture.control.stats().unwrap());
        let found = fixture.examine();
        if raw != last {
            last = raw;
            states.push((k, found.after));
        }
    }
    Some(states)
}
