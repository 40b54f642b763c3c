//! The registry of the alarms that are armed, and the threads that wait for them.
//!
//! Invariants: all of it changes under one lock. A forked child has a registry of its own, and
//! never touches its parent's. A registry is never freed.

use super::{Entry, Subject, os};
use crate::error::Result;
use crate::queue::backoff::MAX_SLEEP;
use crate::queue::cancel::CancelToken;
use crate::sys::futex::{Asleep, Kernel, MAX_WORDS};
use crate::sys::signal::spawn_deaf;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most words of alarms that one thread sleeps on. It needs one for itself.
const MAX_GROUPS: usize = MAX_WORDS - 1;

/// How long the thread sleeps if nothing is armed.
const IDLE: Duration = Duration::from_secs(3600);

/// What a process has armed.
pub(super) struct Registry {
    process: u32,
    lanes: Mutex<Vec<Lane>>,
}

/// A thread, and what it sleeps on.
struct Lane {
    /// 1 when `groups` has something new. The thread sets it to 0 under the lock, and sleeps on it,
    /// too.
    news: Arc<AtomicU32>,
    groups: Vec<Group>,
}

/// The alarms that share a word. Without any it stays until the thread has woken, because a wake-up
/// may be on its way to it.
struct Group {
    subject: Subject,
    /// What was registered, or `None` if the thread has not seen the group yet.
    registered: Option<u32>,
    armed: Vec<Arc<Entry>>,
}

/// Returns the registry of this process. It is never freed. A forked child makes another one,
/// because the parent's may be locked forever there.
pub(super) fn registry() -> &'static Registry {
    static CURRENT: AtomicPtr<Registry> = AtomicPtr::new(std::ptr::null_mut());
    let process = std::process::id();
    // Acquire: pairs with the exchange that has published it.
    let mut found = CURRENT.load(Ordering::Acquire);
    loop {
        // SAFETY: null, or what was published here, which is never freed.
        if let Some(current) = unsafe { found.as_ref() } {
            if current.process == process {
                return current;
            }
        }
        let made = Box::into_raw(Box::new(Registry {
            process,
            lanes: Mutex::default(),
        }));
        // AcqRel: publishes what was made; acquires what another thread has made meanwhile.
        match CURRENT.compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => found = made,
            Err(other) => {
                // SAFETY: made just now, and not published.
                drop(unsafe { Box::from_raw(made) });
                found = other;
            }
        }
    }
}

impl Registry {
    fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms an entry. Returns true if the word has a registration of which the thread has already
    /// looked: then the caller looks once more.
    pub(super) fn arm(&'static self, entry: &Arc<Entry>) -> Result<bool> {
        let mut lanes = self.lanes();
        let token = entry.subject.token().cloned().map(Subject::Token);
        let (lane, group) =
            match lanes.iter().enumerate().find_map(|(lane, all)| {
                Some((lane, all.group_for(&entry.subject, token.as_ref())?))
            }) {
                Some((lane, group)) => (lane, Some(group)),
                None => (self.lane_with_room(&mut lanes)?, None),
            };
        let lane = &mut lanes[lane];
        let looked = match group {
            Some(group) => {
                let group = &mut lane.groups[group];
                group.armed.push(entry.clone());
                group.registered.is_some()
            }
            None => {
                lane.groups
                    .push(Group::new(entry.subject.clone(), Some(entry.clone())));
                false
            }
        };
        // The endpoint's token ends its waits.
        let token = token.filter(|token| lane.position(token).is_none());
        let news = group.is_none() || token.is_some();
        lane.groups
            .extend(token.map(|token| Group::new(token, None)));
        if news {
            Kernel.raise(&lane.news);
        }
        Ok(looked)
    }

    /// Returns a thread that can sleep on two words more.
    fn lane_with_room(&'static self, lanes: &mut Vec<Lane>) -> Result<usize> {
        let found = lanes
            .iter()
            .position(|lane| lane.groups.len() + 2 <= MAX_GROUPS);
        if let Some(lane) = found {
            return Ok(lane);
        }
        let news = Arc::new(AtomicU32::new(0));
        let (number, of_thread) = (lanes.len(), news.clone());
        spawn_deaf("prodcon-wait", move || self.run(number, &of_thread))
            .map_err(|error| os("cannot start the thread prodcon-wait", error))?;
        lanes.push(Lane {
            news,
            groups: vec![],
        });
        Ok(number)
    }

    /// Takes an entry out. It does nothing for one that is not armed.
    pub(super) fn disarm(&self, entry: &Arc<Entry>) {
        for lane in self.lanes().iter_mut() {
            for group in &mut lane.groups {
                group.armed.retain(|armed| !Arc::ptr_eq(armed, entry));
            }
        }
    }

    #[cfg(feature = "async")]
    pub(super) fn is_armed(&self, entry: &Arc<Entry>) -> bool {
        let lanes = self.lanes();
        let mut armed = lanes
            .iter()
            .flat_map(|lane| &lane.groups)
            .flat_map(|group| &group.armed);
        armed.any(|armed| Arc::ptr_eq(armed, entry))
    }

    /// What the thread does.
    fn run(&self, number: usize, news: &AtomicU32) {
        let mut looked = Instant::now();
        loop {
            let now = Instant::now();
            let all = now.saturating_duration_since(looked) >= MAX_SLEEP;
            if all {
                looked = now;
            }
            let mut rang = vec![];
            let slept_on = {
                let mut lanes = self.lanes();
                let lane = &mut lanes[number];
                // SeqCst: as it is raised. What is new from now on raises it again.
                news.store(0, Ordering::SeqCst);
                lane.look(all.then_some(now), &mut rang);
                let words = lane.groups.iter();
                let words = words.map(|group| (group.subject.clone(), group.registered));
                words.collect::<Vec<_>>()
            };
            for entry in rang {
                // A task's waker is foreign code. Its panic is not ours.
                let _ = catch_unwind(AssertUnwindSafe(|| entry.sound()));
            }
            let mut words = vec![Asleep::private(news, 0)];
            let of_groups = slept_on.iter();
            words.extend(of_groups.map(|(subject, value)| subject.asleep(value.unwrap_or(0))));
            let sleep = if slept_on.is_empty() {
                IDLE
            } else {
                MAX_SLEEP.saturating_sub(looked.elapsed())
            };
            Kernel.wait_any(&words, sleep);
        }
    }
}

impl Lane {
    fn position(&self, subject: &Subject) -> Option<usize> {
        self.groups
            .iter()
            .position(|group| group.subject.shares_word(subject))
    }

    /// Returns the group of this word, if there is one, and room for the token too.
    fn group_for(&self, subject: &Subject, token: Option<&Subject>) -> Option<usize> {
        let fits = self.groups.len() < MAX_GROUPS
            || token.is_none_or(|token| self.position(token).is_some());
        self.position(subject).filter(|_| fits)
    }

    /// Looks at what has changed, or at everything if `all` is a time: then after the dead, too.
    /// Moves the alarms that go off to `rang`. Afterwards every group is registered.
    fn look(&mut self, all: Option<Instant>, rang: &mut Vec<Arc<Entry>>) {
        let mut cancelled = false;
        for group in &mut self.groups {
            group.look(all, rang);
            cancelled |=
                matches!(group.subject, Subject::Token(_)) && group.subject.available() > 0;
        }
        if cancelled {
            self.groups
                .iter_mut()
                .for_each(|group| group.ring_cancelled(rang));
        }
        let armed = self.groups.iter().flat_map(|group| &group.armed);
        let needed: Vec<Subject> = armed
            .filter_map(|entry| entry.subject.token().cloned().map(Subject::Token))
            .collect();
        self.groups.retain(|group| {
            let kept = !group.armed.is_empty()
                || needed.iter().any(|token| token.shares_word(&group.subject));
            if !kept {
                if let Some(value) = group.registered {
                    group.subject.pass_on(value);
                }
            }
            kept
        });
    }
}

impl Group {
    fn new(subject: Subject, armed: Option<Arc<Entry>>) -> Self {
        Self {
            subject,
            registered: None,
            armed: armed.into_iter().collect(),
        }
    }

    fn look(&mut self, all: Option<Instant>, rang: &mut Vec<Arc<Entry>>) {
        let changed = self
            .registered
            .is_none_or(|value| self.subject.changed(value));
        if self.armed.is_empty() {
            if self.registered.is_none() {
                self.registered = Some(0); // of a token, which has no registration
            }
            return;
        }
        if let Some(now) = all {
            if self.subject.look_around(now).is_err() {
                self.ring(usize::MAX, rang);
            }
        }
        if changed || all.is_some() {
            self.ring(self.subject.available(), rang);
        }
        if changed && !self.armed.is_empty() {
            // What changes after this changes the word, so this look is the last one needed.
            self.registered = Some(self.subject.register());
            self.ring(self.subject.available(), rang);
        }
    }

    /// Lets this many alarms go off, the oldest first. The wake-up is theirs then.
    fn ring(&mut self, count: usize, rang: &mut Vec<Arc<Entry>>) {
        let count = count.min(self.armed.len());
        rang.extend(self.armed.drain(..count).inspect(|entry| entry.has_rung()));
        if count > 0 && self.armed.is_empty() {
            self.registered = None;
        }
    }

    /// Lets the alarms go off whose endpoint was cancelled. Each of them passes its wake-up on when
    /// it is dropped.
    fn ring_cancelled(&mut self, rang: &mut Vec<Arc<Entry>>) {
        self.armed.retain(|entry| {
            let cancelled = entry.subject.token().is_some_and(CancelToken::is_cancelled);
            if cancelled {
                entry.has_rung();
                rang.push(entry.clone());
            }
            !cancelled
        });
    }
}
