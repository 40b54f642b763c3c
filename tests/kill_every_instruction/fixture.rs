//! A queue, what was put into it, and what has to be true of it after somebody was killed.
//!
//! Owns the examination. It uses the public interface alone. Items are numbers with a seal, so that a torn one is seen: 1, 2, .. were put before the operation,
//! 100, .. by the bystander, 1000, .. by the child.

pub(crate) use crate::item::{Item, item, number};
use prodcon::{AttachOptions, Control, GetError, PutError, QueueOptions, ReadyQueue, State, Stats};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

pub(crate) type Queue = ReadyQueue<Item>;

/// Attaches in this directory.
pub(crate) fn at(dir: &Path) -> AttachOptions {
    AttachOptions::new().directory(dir)
}

pub(crate) const NAME: &str = "q";
/// More items than a block of any scene has.
pub(crate) const BLOCK: usize = 9;
const LETTERS: &str = "letters";
const WORKED: &str = "others-worked";

/// What a killed child, and the mode of the queue, made of the items: the state of affairs after all that was left has been taken out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct After {
    /// Items still to be had, each with its delivery count, in the order they came.
    pub(crate) items: Vec<(u64, u32)>,
    /// Items acknowledged by children.
    pub(crate) gets: u64,
    pub(crate) puts: u64,
    pub(crate) dropped: u64,
    pub(crate) cleared: u64,
    pub(crate) lost: u64,
    pub(crate) redelivered: u64,
    pub(crate) dead_lettered: u64,
    /// What lies in the dead-letter queue.
    pub(crate) letters: Vec<u64>,
}

impl After {
    /// These items, each delivered for the first time; as many puts, and nothing else counted.
    pub(crate) fn items<const N: usize>(items: [u64; N]) -> Self {
        Self {
            items: items.map(|item| (item, 1)).to_vec(),
            puts: N as u64,
            ..Self::default()
        }
    }
    pub(crate) fn got(mut self, count: u64) -> Self {
        (self.gets, self.puts) = (count, self.puts + count);
        self
    }
    pub(crate) fn dropped(mut self, count: u64) -> Self {
        (self.dropped, self.puts) = (count, self.puts + count);
        self
    }
    pub(crate) fn cleared(mut self, count: u64) -> Self {
        (self.cleared, self.puts) = (count, self.puts + count);
        self
    }
    pub(crate) fn lost(mut self, count: u64) -> Self {
        (self.lost, self.puts) = (count, self.puts + count);
        self
    }
    /// The first `items` come for the `count`th time.
    pub(crate) fn delivery(mut self, items: usize, count: u32) -> Self {
        for item in &mut self.items[..items] {
            item.1 = count;
        }
        self.redelivered = self.items.iter().map(|item| u64::from(item.1) - 1).sum();
        self
    }
    pub(crate) fn letters<const N: usize>(mut self, items: [u64; N], counted: u64) -> Self {
        (self.letters, self.dead_lettered) = (items.to_vec(), counted);
        self
    }
    /// All deliveries beyond first ones, those that were followed by others included.
    pub(crate) fn redelivered(mut self, count: u64) -> Self {
        self.redelivered = count;
        self
    }
}

/// A fresh queue and a bystander with a seat of its own, for one kill.
pub(crate) struct Fixture {
    pub(crate) dir: PathBuf,
    pub(crate) bystander: Queue,
    pub(crate) control: Control,
    /// Other endpoints, which only keep their seats.
    pub(crate) others: Vec<Queue>,
    batch: bool,
    /// The bystander ends the stream when it works; and it has heard its end.
    ends: bool,
    ended: bool,
    /// Put by this process; of these before the operation.
    puts: u64,
    puts_before: u64,
    /// Got by the bystander.
    got: Vec<u64>,
}

impl Fixture {
    pub(crate) fn new(dir: &Path, mut options: QueueOptions, letters: bool, ends: bool) -> Self {
        if letters {
            Control::create::<Item>(LETTERS, &QueueOptions::new(4).seats(3).attach(at(dir)))
                .unwrap();
            options = options.dead_letter(LETTERS, 2);
        }
        let bystander = Queue::create(NAME, &options.attach(at(dir))).unwrap();
        let control = bystander.control().try_clone().unwrap();
        let batch = control.info().batch > 1;
        let small = size_of::<Item>() <= 8 && !batch;
        if control.info().copy_in_slot != small {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| println!("SKIPPED: this processor does not exchange 16 bytes at once, so no slot has a copy"));
        }
        Self {
            dir: dir.into(),
            bystander,
            control,
            others: vec![],
            batch,
            ends,
            ended: false,
            puts: 0,
            puts_before: 0,
            got: vec![],
        }
    }

    /// Puts items that the operation will find.
    pub(crate) fn put(&mut self, items: impl IntoIterator<Item = u64>) {
        for number in items {
            self.bystander.try_put(&item(number)).unwrap();
            self.puts += 1;
            self.puts_before += 1;
        }
    }

    /// Puts items in one block.
    pub(crate) fn put_batch(&mut self, numbers: &[u64]) {
        let items: Vec<Item> = numbers.iter().copied().map(item).collect();
        self.bystander
            .within(Duration::ZERO)
            .put_slice(&items)
            .unwrap();
        self.puts += items.len() as u64;
        self.puts_before += items.len() as u64;
    }

    /// The bystander works on: gets, a put, gets. Nothing the child has half done may keep it from that.
    pub(crate) fn work(&mut self, gets_before: u64, gets_after: u64) {
        if self.ends {
            self.control.set_state(State::StopAtQueueEnd).unwrap();
            self.take_all();
            self.ended = self
                .bystander
                .try_get()
                .is_err_and(|error| matches!(error, GetError::Stopped));
            assert!(
                self.ended,
                "nobody has an item in hand, and the stream does not end"
            );
            return;
        }
        (0..gets_before).for_each(|_| self.get());
        self.puts += put(&mut self.bystander, 100);
        (0..gets_after).for_each(|_| self.get());
    }

    fn get(&mut self) {
        get(&mut self.bystander, self.batch, &mut self.got);
    }

    /// Somebody takes the next free seat, if there is one, and works. The child can see that.
    pub(crate) fn newcomer(&mut self) {
        std::fs::write(self.dir.join(WORKED), []).unwrap();
        self.control.recover().unwrap();
        let stats = self.control.stats().unwrap();
        if stats.seats_live < stats.seats {
            let mut newcomer = Queue::attach_with(NAME, &at(&self.dir)).unwrap();
            // First the item that it may have found in its seat.
            get(&mut newcomer, self.batch, &mut self.got);
            self.puts += put(&mut newcomer, 200);
            get(&mut newcomer, self.batch, &mut self.got);
            self.others.push(newcomer);
        }
    }

    /// Beside a stopped child: somebody attaches, puts, gets and closes, and the bystander works too.
    /// Returns how long the slowest of these took.
    pub(crate) fn all_can_work(&mut self) -> Duration {
        std::fs::write(self.dir.join(WORKED), []).unwrap();
        let (mut worst, mut last) = (Duration::ZERO, Instant::now());
        let mut lap = || {
            worst = worst.max(last.elapsed());
            last = Instant::now();
            worst
        };
        let mut newcomer = Queue::attach_with(NAME, &at(&self.dir)).unwrap();
        lap();
        get(&mut newcomer, self.batch, &mut self.got);
        lap();
        self.puts += put(&mut newcomer, 100);
        lap();
        get(&mut newcomer, self.batch, &mut self.got);
        lap();
        drop(newcomer);
        lap();
        self.puts += put(&mut self.bystander, 200);
        lap();
        get(&mut self.bystander, self.batch, &mut self.got);
        lap();
        self.control.recover().unwrap();
        lap();
        assert!(self.control.doctor().unwrap().ok());
        lap()
    }

    /// For the child: it was not alone.
    pub(crate) fn others_worked(dir: &Path) -> bool {
        dir.join(WORKED).exists()
    }

    /// The bystander takes what there is, unless it was told that nothing comes any more.
    pub(crate) fn take_all(&mut self) {
        while !self.ended && get(&mut self.bystander, self.batch, &mut self.got) {}
    }

    /// The killed one's locks go a moment after it.
    pub(crate) fn wait_for_seats(&self) {
        let live = 1 + self.others.len() as u32;
        let began = Instant::now();
        while self.control.stats().unwrap().seats_live != live {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "a dead process keeps its seat: {:?}",
                self.control.stats()
            );
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Recovers, takes out what is left, and checks that the queue is whole.
    pub(crate) fn examine(self) -> Examined {
        let Self {
            dir,
            bystander,
            control,
            others,
            batch: _,
            ends: _,
            ended,
            puts,
            puts_before,
            got,
        } = self;
        let healthy = |live| healthy(&control, live);
        let lossy = control.is_lossy();
        // First beside a live endpoint, then alone: then it can check the permutation of the blocks.
        healthy(1 + others.len() as u32);
        drop((bystander, others));
        healthy(0);
        if control.state() == State::StopAtQueueEnd {
            control.set_state(State::Stopped).unwrap();
            control.set_state(State::Started).unwrap();
        }

        let mut one = Queue::attach_with(NAME, &at(&dir)).unwrap();
        let mut items = vec![];
        loop {
            match one.try_take() {
                Ok(taken) => {
                    items.push((number(&taken), taken.delivery_count()));
                    taken.ack();
                }
                Err(GetError::Empty) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let stats = healthy(1);
        assert_eq!((stats.len, stats.unacked), (0, 0), "{stats:?}");
        let mut after = After {
            gets: stats.gets - (items.len() + got.len()) as u64,
            items,
            puts: stats.puts,
            dropped: stats.dropped,
            cleared: stats.cleared,
            lost: stats.lost,
            redelivered: stats.redelivered,
            dead_lettered: stats.dead_lettered,
            letters: vec![],
        };
        full_capacity(&dir, NAME, &control, vec![one], &stats);
        healthy(0);
        control.unlink().unwrap();
        let _ = std::fs::remove_file(dir.join(WORKED));
        after.letters = read_letters(&dir);
        Examined {
            lossy,
            ended,
            after,
            puts,
            puts_before,
            got,
        }
    }
}

/// Gets an item, or a whole block, so that no rest stays in hand. Returns false if there was none.
fn get(queue: &mut Queue, batch: bool, got: &mut Vec<u64>) -> bool {
    let found: Result<Vec<Item>, GetError> = if batch {
        queue.within(Duration::ZERO).take_many(BLOCK).map(|batch| {
            let found = batch.iter().copied().collect();
            batch.ack();
            found
        })
    } else {
        queue.try_get().map(|found| vec![found])
    };
    match found {
        Ok(found) => got.extend(found.iter().map(number)),
        Err(GetError::Empty | GetError::Stopped) => return false,
        Err(error) => panic!("{error}"),
    }
    true
}

/// All that is there, acknowledged.
fn drain(queue: &mut Queue) -> Vec<Item> {
    std::iter::from_fn(|| queue.try_get().ok()).collect()
}

/// Puts an item if that can be. Returns how many.
fn put(queue: &mut Queue, number: u64) -> u64 {
    match queue.try_put(&item(number)) {
        Ok(()) => 1,
        Err(PutError::Full | PutError::NotReady | PutError::Stopped) => 0,
        Err(error) => panic!("{error}"),
    }
}

/// Nothing is wrong, and this many seats are taken.
fn healthy(control: &Control, live: u32) -> Stats {
    let report = control.doctor().unwrap();
    assert!(report.ok() && report.undecided == 0, "{report:?}");
    let stats = control.stats().unwrap();
    assert!(
        stats.adds_up() && stats.seats_dead == 0 && stats.seats_live == live,
        "{stats:?}"
    );
    stats
}

/// What lies in the dead-letter queue, if there is one; then it goes.
fn read_letters(dir: &Path) -> Vec<u64> {
    let Ok(control) = Control::attach_with(LETTERS, &at(dir)) else {
        return vec![];
    };
    let stats = healthy(&control, 0);
    let mut letters = Queue::attach_with(LETTERS, &at(dir)).unwrap();
    let items: Vec<Item> = drain(&mut letters);
    assert_eq!(stats.len, items.len() as u64);
    drop(letters);
    let before = control.stats().unwrap();
    full_capacity(dir, LETTERS, &control, vec![], &before);
    control.unlink().unwrap();
    items.iter().map(number).collect()
}

/// Every seat, every slot.
fn full_capacity(dir: &Path, name: &str, control: &Control, mut all: Vec<Queue>, before: &Stats) {
    control.set_ready().unwrap();
    while all.len() < before.seats as usize {
        all.push(Queue::attach_with(name, &at(dir)).unwrap());
    }
    let (seats, capacity) = (all.len(), before.capacity as usize);
    for round in 0..2 {
        for i in 0..capacity {
            all[(i + round) % seats].try_put(&item(i as u64)).unwrap();
        }
        if !before.lossy {
            assert!(matches!(all[0].try_put(&item(9)), Err(PutError::Full)));
        }
        for i in 0..capacity {
            assert_eq!(
                number(&all[(i + round + 1) % seats].try_get().unwrap()),
                i as u64
            );
        }
        for queue in &mut all {
            assert!(matches!(queue.try_get(), Err(GetError::Empty)));
        }
    }
    let mut items = 2 * capacity;
    if before.batch > 1 {
        let batch: Vec<Item> = (0..capacity as u64 * u64::from(before.batch))
            .map(item)
            .collect();
        all[0].within(Duration::ZERO).put_slice(&batch).unwrap();
        assert_eq!(drain(&mut all[seats - 1]), batch);
        items += batch.len();
    }
    let stats = control.stats().unwrap();
    assert!(
        stats.adds_up() && stats.seats_live == before.seats,
        "{stats:?}"
    );
    assert_eq!(
        (stats.puts - before.puts, stats.gets - before.gets),
        (items as u64, items as u64)
    );
    assert_eq!(
        (stats.dropped, stats.cleared, stats.lost, stats.redelivered),
        (
            before.dropped,
            before.cleared,
            before.lost,
            before.redelivered
        )
    );
}

/// What an examination found.
#[derive(Debug)]
pub(crate) struct Examined {
    lossy: bool,
    ended: bool,
    pub(crate) after: After,
    /// Put by this process; of these before the operation.
    pub(crate) puts: u64,
    pub(crate) puts_before: u64,
    /// Got by the bystander, in order.
    pub(crate) got: Vec<u64>,
}

impl Examined {
    /// Whatever the bystander did in between: nothing twice, in order, nothing missing but what is counted, and of each count no more than in any of the stages. `all_lived`: nobody
    /// was killed; then nothing was left either, because the bystander took all.
    pub(crate) fn consistent(&self, stages: &[After], all_lived: bool) -> Result<(), String> {
        let Self {
            lossy,
            ended,
            after,
            puts,
            puts_before,
            got,
        } = self;
        let most = |figure: fn(&After) -> u64| stages.iter().map(figure).max().unwrap_or(0);
        let left = || after.items.iter().map(|(item, _)| *item);
        let mut all: Vec<u64> = left().chain(got.iter().copied()).collect();
        let delivered = all.len() as u64;
        all.sort_unstable();
        all.dedup();
        if all.len() as u64 != delivered {
            return Err("an item was delivered twice".into());
        }
        if after.letters.iter().any(|letter| all.contains(letter)) {
            return Err("an item was delivered and put among the dead letters".into());
        }
        let by_child = after
            .puts
            .checked_sub(*puts)
            .ok_or("fewer puts are counted than were made")?;
        if all.iter().filter(|item| **item >= 1000).count() as u64 > by_child {
            return Err("an item was delivered whose put is not counted".into());
        }
        if after.puts != delivered + after.gets + after.dropped + after.cleared + after.lost {
            return Err("an item is missing".into());
        }
        if *ended && !after.items.is_empty() {
            return Err("the stream had ended, and an item is left".into());
        }
        if all_lived && !after.items.is_empty() {
            return Err("the bystander was not told of an item".into());
        }
        // A child that lived on may have had an answer that it has not when nobody else works.
        let more = u64::from(all_lived);
        for (what, found, most) in [
            (
                "puts",
                by_child,
                most(|after| after.puts) - puts_before + more,
            ),
            ("gets", after.gets, most(|after| after.gets) + more),
            ("lost", after.lost, most(|after| after.lost)),
        ] {
            if found > most {
                return Err(format!(
                    "{found} {what} by children, expected at most {most}"
                ));
            }
        }
        for (what, found, may) in [
            ("dropped", after.dropped, *lossy),
            ("cleared", after.cleared, most(|after| after.cleared) > 0),
        ] {
            if found > 0 && !may {
                return Err(format!("{found} items {what}, expected none"));
            }
        }
        // What one process put comes out in its order, except for what a consumer had in hand. What
        // the child put comes behind what was there before.
        let in_hand: Vec<u64> = stages
            .iter()
            .flat_map(|after| &after.items)
            .filter(|item| item.1 > 1)
            .map(|item| item.0)
            .collect();
        for sequence in [left().collect(), got.clone()] {
            let first_time: Vec<u64> = sequence
                .into_iter()
                .filter(|item| !in_hand.contains(item))
                .collect();
            let of_child = first_time
                .iter()
                .position(|item| *item >= 1000)
                .unwrap_or(first_time.len());
            if !first_time.iter().filter(|item| **item < 1000).is_sorted()
                || first_time[of_child..].iter().any(|item| *item < 100)
            {
                return Err(format!("items out of order: {first_time:?}"));
            }
        }
        Ok(())
    }
}
