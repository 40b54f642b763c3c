//! The parts that processes play in a run: what each does between the beginning and the end. The same code for every system.

use super::job::{Board, DONE, Job, Kind, MEASURED, OPEN, READY, STOPPED, WARM, Worker};
use crate::ends::{Keep, Rx, System, Tx};
use crate::item::{self, POISON, Tally};
use crate::shared::Shared;
use crate::systems::Visitor;
use crate::{Outcome, cpu};
use hdrhistogram::Histogram;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

/// One part of a run, with whichever system.
pub struct Part<'a>(pub &'a Job);

impl Visitor for Part<'_> {
    type Answer = Outcome<()>;
    fn visit<S: System>(self) -> Outcome<()> {
        // Each of plan::WORDS.
        match self.0.words {
            1 => play::<S, 1>(self.0),
            8 => play::<S, 8>(self.0),
            32 => play::<S, 32>(self.0),
            128 => play::<S, 128>(self.0),
            512 => play::<S, 512>(self.0),
            8192 => play::<S, 8192>(self.0),
            131_072 => play::<S, 131_072>(self.0),
            262_144 => play::<S, 262_144>(self.0),
            other => Err(format!("no items of {other} words").into()),
        }
    }
}

/// Plays it with system `S` and items of `N` words.
fn play<S: System, const N: usize>(job: &Job) -> Outcome<()> {
    if let Some(core) = job.core {
        cpu::pin(core);
    }
    let board = job.board()?;
    let mut keeps = vec![];
    if job.index == 0 {
        for queue in 0..if job.kind == Kind::RoundTrip { 2 } else { 1 } {
            keeps.push(S::create::<N>(&job.setup(queue))?);
        }
        board.created.0.store(1, Release);
    }
    until(|| board.created.0.load(Acquire) != 0);
    let runner = Runner {
        board: &board,
        me: &board.workers[job.index],
        job,
    };
    let producer = job.index < job.producers;
    match (job.kind, producer) {
        (Kind::Throughput | Kind::Lossy, true) => runner.produce::<N>(
            S::tx::<N>(&job.setup(0))?,
            keeps.first().map(AsRef::as_ref),
            S::FANS_OUT,
        )?,
        (Kind::Throughput | Kind::Lossy, false) => {
            runner.consume::<N>(S::rx::<N>(&job.setup(0))?, S::FANS_OUT)?
        }
        // The ends of a round trip are made one queue at a time in both, so that no order of opening can make one wait for the other.
        (Kind::RoundTrip, true) => {
            runner.ping::<N>(S::tx::<N>(&job.setup(0))?, S::rx::<N>(&job.setup(1))?)?
        }
        (Kind::RoundTrip, false) => {
            runner.pong::<N>(S::rx::<N>(&job.setup(0))?, S::tx::<N>(&job.setup(1))?)?
        }
        (Kind::Wake | Kind::Idle, true) => runner.wake::<N>(S::tx::<N>(&job.setup(0))?)?,
        (Kind::Wake | Kind::Idle, false) => runner.sleep::<N>(S::rx::<N>(&job.setup(0))?)?,
    }
    Ok(())
}

/// Looks every 100 microseconds.
fn until(done: impl Fn() -> bool) {
    while !done() {
        std::thread::sleep(Duration::from_micros(100));
    }
}

struct Runner<'a> {
    board: &'a Shared<Board>,
    me: &'a Worker,
    job: &'a Job,
}

impl Runner<'_> {
    /// The own ends are open: has them find the others, and waits for the beginning.
    fn begin(&self, settle: impl FnOnce() -> Outcome<()>) -> Outcome<Progress> {
        self.me.state.store(OPEN, Release);
        until(|| self.board.opened.0.load(Acquire) != 0);
        settle()?;
        self.me.state.store(READY, Release);
        until(|| self.board.phase.0.load(Acquire) != 0);
        Ok(Progress {
            phase: WARM,
            used: self.used(),
            before: 0,
        })
    }

    fn used(&self) -> Duration {
        if self.job.thread {
            cpu::used_by_thread()
        } else {
            cpu::used()
        }
    }

    /// Is called once for each item. Returns `false` when it is enough.
    #[inline]
    fn goes_on(&self, progress: &mut Progress, count: u64) -> bool {
        let phase = self.board.phase.0.load(Relaxed);
        if phase != progress.phase {
            if progress.phase == WARM {
                (progress.used, progress.before) = (self.used(), count);
            }
            progress.phase = phase;
        }
        phase != STOPPED
    }

    /// The last item is through.
    fn end(&self, progress: &Progress, count: u64) {
        self.me.ended.store(cpu::now(), Relaxed);
        self.me.used.store(
            self.used().saturating_sub(progress.used).as_nanos() as u64,
            Relaxed,
        );
        self.me.count.store(count, Relaxed);
        self.me.before.store(progress.before, Relaxed);
    }

    /// Everything is told. The ends stay open until all are done, so that nothing goes away with its producer.
    fn done(&self) {
        self.me.state.store(DONE, Release);
        until(|| self.board.exit.0.load(Acquire) != 0);
    }

    fn produce<const N: usize>(
        &self,
        mut tx: impl Tx<N>,
        keep: Option<&dyn Keep>,
        fans_out: bool,
    ) -> Outcome<()> {
        let mut progress = self.begin(|| tx.settle())?;
        let mut sequence = 0;
        while self.goes_on(&mut progress, sequence) {
            let id = item::id(self.job.index, sequence);
            tx.put(|item| item::fill(item, id))?;
            sequence += 1;
        }
        self.end(&progress, sequence);
        if self.job.index == 0 {
            let others = &self.board.workers[1..self.job.producers];
            until(|| others.iter().all(|other| other.state.load(Acquire) == DONE));
            for _ in 0..if fans_out { 1 } else { self.job.consumers } {
                tx.put(|item| item::fill(item, POISON))?;
            }
            let consumers =
                &self.board.workers[self.job.producers..self.job.producers + self.job.consumers];
            until(|| {
                consumers
                    .iter()
                    .all(|other| other.state.load(Acquire) == DONE)
            });
            let dropped = keep.and_then(Keep::dropped);
            self.me
                .dropped
                .store(dropped.map_or(0, |dropped| dropped + 1), Relaxed);
        }
        self.done();
        Ok(())
    }

    fn consume<const N: usize>(&self, mut rx: impl Rx<N>, fans_out: bool) -> Outcome<()> {
        let mut progress = self.begin(|| rx.settle())?;
        let (mut tally, mut count) = (Tally::default(), 0);
        loop {
            let got = rx.get(item::read)?;
            if got.0 == POISON {
                tally.wrong += u64::from(!got.1);
                break;
            }
            self.goes_on(&mut progress, count);
            tally.note(got);
            count += 1;
        }
        while fans_out && let Some(got) = rx.try_get(item::read)? {
            tally.note(got); // the poison of one producer may overtake the items of another
            count += 1;
        }
        self.end(&progress, count);
        for (stream, told) in tally.streams.iter().zip(&self.me.streams) {
            told[0].store(stream.count, Relaxed);
            told[1].store(stream.sum, Relaxed);
        }
        self.me.wrong.store(tally.wrong, Relaxed);
        self.done();
        Ok(())
    }

    fn ping<const N: usize>(&self, mut tx: impl Tx<N>, mut rx: impl Rx<N>) -> Outcome<()> {
        let mut times = histogram()?;
        let mut progress = self.begin(|| tx.settle().and_then(|()| rx.settle()))?;
        let (mut trip, mut wrong) = (0, 0);
        while self.goes_on(&mut progress, trip) {
            let id = item::id(0, trip);
            let began = Instant::now();
            tx.put(|item| item::fill(item, id))?;
            let got = rx.get(item::read)?;
            let time = began.elapsed();
            wrong += u64::from(got != (id, true));
            trip += 1;
            if progress.phase == MEASURED {
                times.saturating_record(time.as_nanos() as u64);
            }
        }
        self.end(&progress, trip);
        tx.put(|item| item::fill(item, POISON))?;
        self.tell(&times, wrong);
        self.done();
        Ok(())
    }

    fn pong<const N: usize>(&self, mut rx: impl Rx<N>, mut tx: impl Tx<N>) -> Outcome<()> {
        let mut progress = self.begin(|| rx.settle().and_then(|()| tx.settle()))?;
        let mut count = 0;
        loop {
            let (id, intact) = rx.get(item::read)?;
            if id == POISON {
                break;
            }
            self.goes_on(&mut progress, count);
            self.me.wrong.fetch_add(u64::from(!intact), Relaxed);
            tx.put(|item| item::fill(item, id))?;
            count += 1;
        }
        self.end(&progress, count);
        self.done();
        Ok(())
    }

    /// Puts the time, now and then; after each put the consumer has time to fall asleep.
    fn wake<const N: usize>(&self, mut tx: impl Tx<N>) -> Outcome<()> {
        let mut progress = self.begin(|| tx.settle())?;
        let mut put = 0;
        while self.goes_on(&mut progress, put) {
            // 1.5 to 2.5 ms, no steady beat
            std::thread::sleep(Duration::from_micros(1500 + item::weight(put) % 1000));
            if self.job.kind == Kind::Wake {
                tx.put(|item| item::fill(item, cpu::now()))?;
                put += 1;
            }
        }
        self.end(&progress, put);
        std::thread::sleep(Duration::from_millis(2));
        tx.put(|item| item::fill(item, POISON))?;
        self.done();
        Ok(())
    }

    fn sleep<const N: usize>(&self, mut rx: impl Rx<N>) -> Outcome<()> {
        let mut times = histogram()?;
        let mut progress = self.begin(|| rx.settle())?;
        let (mut got, mut wrong, mut last) = (0, 0, 0);
        loop {
            let (put, intact) = rx.get(item::read)?;
            let now = cpu::now();
            if put == POISON {
                break;
            }
            self.goes_on(&mut progress, got);
            wrong += u64::from(!intact || put <= last);
            last = put;
            got += 1;
            if progress.phase == MEASURED {
                times.saturating_record(now - put);
            }
        }
        self.end(&progress, got);
        self.tell(&times, wrong);
        self.done();
        Ok(())
    }

    fn tell(&self, times: &Histogram<u64>, wrong: u64) {
        for (told, quantile) in self.me.quantiles.iter().zip([0.5, 0.99, 0.999, 1.0]) {
            told.store(times.value_at_quantile(quantile), Relaxed);
        }
        self.me.samples.store(times.len(), Relaxed);
        self.me.wrong.fetch_add(wrong, Relaxed);
    }
}

/// Where a process stands in the phases of its run.
struct Progress {
    phase: u64,
    /// Processor time when the measured part began.
    used: Duration,
    /// Items before the measured part.
    before: u64,
}

fn histogram() -> Outcome<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}
