//! A queue, what was put into it, and what has to be true of it after somebody was killed.
//!
//! Owns the examination. It uses the public interface alone. Items are numbers with a seal, so that a torn one is seen: 1, 2, .. were put before the operation,
//! 100, .. by the bystander, 1000, .. by the child.

use prodcon::{Control, GetError, Options, PutError, ReadyQueue, Stats};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A number with a seal.
pub(crate) type Item = [u64; 4];
pub(crate) type Queue = ReadyQueue<Item>;

pub(crate) fn item(number: u64) -> Item {
    [number, !number, number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number.rotate_left(32) ^ 0x5555]
}

/// The number in an item.
pub(crate) fn number(found: &Item) -> u64 {
    assert_eq!(*found, item(found[0]), "a torn item");
    found[0]
}

pub(crate) const NAME: &str = "q";

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
    /// The first item comes for the `count`th time.
    pub(crate) fn first_delivery(mut self, count: u32) -> Self {
        self.items[0].1 = count;
        self.redelivered = u64::from(count) - 1;
        self
    }
    pub(crate) fn redelivered(mut self, count: u64) -> Self {
        self.redelivered = count;
        self
    }
}

/// A fresh queue and a bystander with a seat of its own, for one kill.
pub(crate) struct Stage {
    pub(crate) dir: PathBuf,
    pub(crate) bystander: Queue,
    pub(crate) control: Control,
    /// Other endpoints, which only keep their seats.
    pub(crate) others: Vec<Queue>,
    /// Put by this process; of these before the operation.
    puts: u64,
    puts_before: u64,
    /// Got by the bystander.
    got: Vec<u64>,
}

impl Stage {
    pub(crate) fn new(dir: &Path, options: Options) -> Self {
        let bystander = Queue::create(NAME, &options.directory(dir)).unwrap();
        let control = bystander.control().unwrap();
        Self {
            dir: dir.into(),
            bystander,
            control,
            others: vec![],
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

    /// The bystander works on: gets, a put, gets. Nothing the child has half done may keep it from that.
    pub(crate) fn bystand(&mut self, gets_before: u64, gets_after: u64) {
        let get = |stage: &mut Self| match stage.bystander.try_get() {
            Ok(found) => stage.got.push(number(&found)),
            Err(GetError::Empty) => {}
            Err(error) => panic!("the bystander's get: {error}"),
        };
        (0..gets_before).for_each(|_| get(self));
        match self.bystander.try_put(&item(100)) {
            Ok(()) => self.puts += 1,
            Err(PutError::Full | PutError::NotReady) => {}
            Err(error) => panic!("the bystander's put: {error}"),
        }
        (0..gets_after).for_each(|_| get(self));
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
            puts,
            puts_before,
            got,
        } = self;
        let healthy = |live: u32| {
            let report = control.doctor().unwrap();
            assert!(report.ok() && report.undecided == 0, "{report:?}");
            let stats = control.stats().unwrap();
            assert!(stats.adds_up() && stats.seats_dead == 0 && stats.seats_live == live, "{stats:?}");
            stats
        };
        let lossy = control.is_lossy();
        // First beside a live endpoint, then alone: then it can check the permutation of the blocks.
        healthy(1 + others.len() as u32);
        drop((bystander, others));
        healthy(0);

        let mut one = Queue::attach_in(&dir, NAME).unwrap();
        let mut items = vec![];
        loop {
            match one.try_take() {
                Ok(taken) => items.push((number(&taken), taken.deliveries())),
                Err(GetError::Empty) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let stats = healthy(1);
        assert_eq!((stats.len, stats.held), (0, 0), "{stats:?}");
        let after = After {
            gets: stats.gets - (items.len() + got.len()) as u64,
            items,
            puts: stats.puts,
            dropped: stats.dropped,
            cleared: stats.cleared,
            lost: stats.lost,
            redelivered: stats.redelivered,
        };
        full_capacity(&dir, &control, one, &stats);
        healthy(0);
        control.unlink().unwrap();
        Examined {
            lossy,
            after,
            puts,
            puts_before,
            got,
        }
    }
}

/// Every seat, every slot.
fn full_capacity(dir: &Path, control: &Control, one: Queue, before: &Stats) {
    control.set_ready().unwrap();
    let mut all = vec![one];
    while all.len() < before.seats as usize {
        all.push(Queue::attach_in(dir, NAME).unwrap());
    }
    let (seats, capacity) = (all.len(), before.capacity as usize);
    for round in 0..2 {
        for i in 0..capacity {
            all[(i + round) % seats].try_put(&item(i as u64)).unwrap();
        }
        if !before.lossy {
            assert_eq!(all[0].try_put(&item(9)), Err(PutError::Full));
        }
        for i in 0..capacity {
            assert_eq!(all[(i + round + 1) % seats].try_get().map(|found| number(&found)), Ok(i as u64));
        }
        for queue in &mut all {
            assert_eq!(queue.try_get(), Err(GetError::Empty));
        }
    }
    let stats = control.stats().unwrap();
    assert!(stats.adds_up() && stats.seats_live == before.seats, "{stats:?}");
    assert_eq!((stats.puts - before.puts, stats.gets - before.gets), (2 * capacity as u64, 2 * capacity as u64));
    assert_eq!(
        (stats.dropped, stats.cleared, stats.lost, stats.redelivered),
        (before.dropped, before.cleared, before.lost, before.redelivered)
    );
}

/// What an examination found.
#[derive(Debug)]
pub(crate) struct Examined {
    lossy: bool,
    pub(crate) after: After,
    /// Put by this process; of these before the operation.
    pub(crate) puts: u64,
    pub(crate) puts_before: u64,
    /// Got by the bystander, in order.
    pub(crate) got: Vec<u64>,
}

impl Examined {
    /// Whatever the bystander did in between: nothing twice, in order, nothing missing but what is counted, and of each count no more than in any of the stages.
    pub(crate) fn consistent(&self, stages: &[After]) -> Result<(), String> {
        let Self {
            lossy,
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
        let by_child = after.puts.checked_sub(*puts).ok_or("fewer puts are counted than were made")?;
        if all.iter().filter(|item| **item >= 1000).count() as u64 > by_child {
            return Err("an item was delivered whose put is not counted".into());
        }
        if after.puts != delivered + after.gets + after.dropped + after.cleared + after.lost {
            return Err("an item is missing".into());
        }
        for (what, found, most) in [
            ("puts", by_child, most(|after| after.puts) - puts_before),
            ("gets", after.gets, most(|after| after.gets)),
            ("lost", after.lost, most(|after| after.lost)),
        ] {
            if found > most {
                return Err(format!("{found} {what} by children, expected at most {most}"));
            }
        }
        for (what, found, may) in [("dropped", after.dropped, *lossy), ("cleared", after.cleared, most(|after| after.cleared) > 0)] {
            if found > 0 && !may {
                return Err(format!("{found} items {what}, expected none"));
            }
        }
        // What one process put comes out in its order, but for what a dead one had in hand; what the child put comes behind what was there before.
        let in_hand = if most(|after| after.redelivered) > 0 {
            most(|after| after.gets).max(1)
        } else {
            0
        };
        for sequence in [left().collect::<Vec<_>>(), got.clone()] {
            let ours: Vec<u64> = sequence.iter().copied().filter(|item| (in_hand + 1..1000).contains(item)).collect();
            let of_child = sequence.iter().position(|item| *item >= 1000);
            if !ours.is_sorted() || of_child.is_some_and(|place| sequence[place..].iter().any(|item| (in_hand + 1..100).contains(item))) {
                return Err(format!("items out of order: {sequence:?}"));
            }
        }
        Ok(())
    }
}
