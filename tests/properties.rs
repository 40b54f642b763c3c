//! Random operations against a model: a `VecDeque` and plain counters.

use prodcon::{AttachOptions, ErrorKind, QueueOptions, ReadyQueue};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug, Clone)]
enum Op {
    Put(usize),
    Get(usize),
    Forget(usize),
    Clear(usize),
    ClearByControl,
    NotReady,
    Ready,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..3usize;
    prop_oneof![
        8 => who.clone().prop_map(Op::Put),
        6 => who.clone().prop_map(Op::Get),
        1 => who.clone().prop_map(Op::Forget),
        1 => who.prop_map(Op::Clear),
        1 => Just(Op::ClearByControl),
        1 => Just(Op::NotReady),
        1 => Just(Op::Ready),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_do_what_a_deque_does(capacity in 1..6u32, lossy: bool, copies: bool, ops in proptest::collection::vec(op(), 1..120)) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let dir = std::env::temp_dir().join(format!("prodcon-properties-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&dir).unwrap();
        let options = QueueOptions::new(capacity).lossy(lossy).copy_in_slot(copies).seats(4).attach(AttachOptions::new().directory(&dir));
        let first = ReadyQueue::<u64>::create("q", &options).unwrap();
        let control = first.control().try_clone().unwrap();
        let mut ends = [first.try_clone().unwrap(), first.try_clone().unwrap(), first];
        std::fs::remove_file(dir.join("prodcon.q")).unwrap(); // nothing is left whatever fails
        std::fs::remove_dir(&dir).unwrap();
        let (mut model, mut ready, mut next) = (VecDeque::new(), true, 0u64);
        let (mut puts, mut gets, mut dropped, mut cleared, mut lost) = (0, 0, 0, 0, 0);
        let mut held = [false; 3];
        for op in ops {
            match op {
                Op::Put(who) => {
                    next += 1;
                    lost += u64::from(std::mem::take(&mut held[who]));
                    let full = model.len() == capacity as usize && !lossy;
                    let expected = if !ready { Err(ErrorKind::NotReady) } else if full { Err(ErrorKind::Full) } else { Ok(()) };
                    prop_assert_eq!(ends[who].try_put(&next).map_err(|error| error.kind()), expected);
                    if expected.is_ok() {
                        if model.len() == capacity as usize {
                            model.pop_front();
                            dropped += 1;
                        }
                        model.push_back(next);
                        puts += 1;
                    }
                }
                Op::Get(who) => {
                    lost += u64::from(std::mem::take(&mut held[who]));
                    let expected = model.pop_front();
                    gets += u64::from(expected.is_some());
                    prop_assert_eq!(ends[who].try_get().map_err(|error| error.kind()), expected.ok_or(ErrorKind::Empty));
                }
                Op::Forget(who) => {
                    lost += u64::from(std::mem::take(&mut held[who]));
                    let expected = model.pop_front();
                    let taken = ends[who].try_take();
                    prop_assert_eq!(taken.as_ref().ok().map(|item| **item), expected);
                    held[who] = taken.is_ok();
                    taken.map(std::mem::forget).ok();
                }
                Op::Clear(who) => {
                    ends[who].clear().unwrap();
                    cleared += model.drain(..).count() as u64;
                }
                Op::ClearByControl => {
                    control.clear().unwrap();
                    cleared += model.drain(..).count() as u64;
                }
                Op::NotReady => {
                    control.set_not_ready().unwrap();
                    if ready {
                        cleared += model.drain(..).count() as u64;
                    }
                    ready = false;
                }
                Op::Ready => {
                    control.set_ready().unwrap();
                    ready = true;
                }
            }
            let stats = control.stats().unwrap();
            prop_assert!(stats.adds_up(), "{:?}", stats);
            prop_assert_eq!((stats.puts, stats.gets, stats.dropped, stats.lost), (puts, gets, dropped, lost));
            prop_assert_eq!(stats.unacked, held.iter().filter(|held| **held).count() as u64);
            prop_assert_eq!(stats.cleared + stats.len, cleared + model.len() as u64);
        }
    }
}
