//! crossbeam's `ArrayQueue` between threads of one process: what a good queue does that need not care about other processes.
//!
//! Set up as its documentation says: one `ArrayQueue` behind an `Arc`; `push` and `pop` do not wait, so we do (`pause`, now and then yield); lossy: `force_push`.
//! (crossbeam-queue-0.3: src/array_queue.rs.)

use crate::Outcome;
use crate::ends::{Keep, Naive, Rx, Setup, System, Tx};
use crossbeam_queue::ArrayQueue;
use std::any::Any;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};

/// crossbeam's queue.
pub struct Array;

static QUEUES: Mutex<Option<HashMap<String, Arc<dyn Any + Send + Sync>>>> = Mutex::new(None);

struct End<const N: usize> {
    queue: Arc<ArrayQueue<[u64; N]>>,
    lossy: bool,
    item: Box<[u64; N]>,
}

impl<const N: usize> Tx<N> for End<N> {
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        fill(&mut self.item);
        black_box(&self.item);
        if self.lossy {
            self.queue.force_push(*self.item);
            return Ok(());
        }
        let mut naive = Naive::default();
        while self.queue.push(*self.item).is_err() {
            naive.wait();
        }
        Ok(())
    }
}

impl<const N: usize> Rx<N> for End<N> {
    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        let mut naive = Naive::default();
        loop {
            if let Some(item) = self.queue.pop() {
                return Ok(look(black_box(&item)));
            }
            naive.wait();
        }
    }
}

fn join<const N: usize>(setup: &Setup) -> Outcome<End<N>> {
    let queues = QUEUES.lock().map_err(|_| "a thread has panicked")?;
    let queue = queues
        .as_ref()
        .and_then(|queues| queues.get(&setup.name))
        .ok_or("no such queue")?;
    Ok(End {
        queue: queue.clone().downcast().map_err(|_| "another type")?,
        lossy: setup.lossy,
        item: Box::new([0; N]),
    })
}

impl System for Array {
    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        let queue = ArrayQueue::<[u64; N]>::new(setup.capacity as usize);
        let mut queues = QUEUES.lock().map_err(|_| "a thread has panicked")?;
        queues
            .get_or_insert_default()
            .insert(setup.name.clone(), Arc::new(queue));
        Ok(Box::new(()))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        join(setup)
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        join(setup)
    }
}
