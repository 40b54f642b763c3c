//! Two ways of waiting at the edge of empty or full, for the plain ring: naive, and prodcon's policy.
//!
//! The policy: two sides that fight over one cache line at that edge lose more than anything else costs. So a side that has got on well since its last wait keeps
//! off for a while, as long as a look some cells ahead shows that the other side keeps its rate; a side that has not (ping-pong) polls at once. It never sleeps.
//! It is the policy as it first was; the library's has since learned to leave lockstep (`src/queue/wait.rs`), which this has not.

use crate::ends::Naive as Pause;
use std::hint::spin_loop;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::Instant;

/// Marks a way of waiting.
pub trait Way: 'static {
    const POLICY: bool;
}
/// `pause`, and every 64th time yield.
pub struct Naive;
/// prodcon's.
pub struct Policy;
impl Way for Naive {
    const POLICY: bool = false;
}
impl Way for Policy {
    const POLICY: bool = true;
}

/// One side's waiting.
pub struct Pacer<W> {
    /// Successes since the last empty or full.
    burst: u64,
    /// Waits since the last success.
    fruitless: u32,
    /// Cells ahead to look at, at most; 0: do not look.
    horizon: u64,
    naive: Pause,
    _way: PhantomData<W>,
}

impl<W> Default for Pacer<W> {
    fn default() -> Self {
        Self {
            burst: 0,
            fruitless: 0,
            horizon: 0,
            naive: Pause::default(),
            _way: PhantomData,
        }
    }
}

/// What `pause` is counted as, nanoseconds.
const UNIT: u64 = 16;

impl<W: Way> Pacer<W> {
    pub fn new(capacity: u64) -> Self {
        Self {
            horizon: if capacity < 64 {
                0
            } else {
                (capacity / 8).min(128)
            },
            ..Self::default()
        }
    }

    #[inline]
    pub fn success(&mut self) {
        if W::POLICY {
            self.burst += 1;
            self.fruitless = 0;
        }
    }

    /// Somebody else was first at the same cell.
    #[inline]
    pub fn contended(&mut self) {
        if W::POLICY {
            units(1000 / UNIT);
        }
    }

    /// There is nothing at this side's cell. `ready(d)`: is there, d cells ahead?
    #[inline]
    pub fn missed(&mut self, ready: impl Fn(u64) -> bool) {
        if !W::POLICY {
            self.naive.wait();
            return;
        }
        let burst = std::mem::take(&mut self.burst);
        self.fruitless += 1;
        if self.fruitless > 16 {
            std::thread::yield_now();
        } else if burst < 2 || self.horizon == 0 {
            spin_loop();
        } else {
            let (mut waited, mut next) = (0, 8);
            loop {
                units(next);
                waited += next;
                let ahead = (waited / 3).min(self.horizon);
                if !ready(ahead) || ahead == self.horizon {
                    break;
                }
                next = waited;
            }
        }
    }
}

/// Pauses for this many units of time.
fn units(units: u64) {
    static PAUSES: OnceLock<u64> = OnceLock::new(); // for 64 units
    let pauses = *PAUSES.get_or_init(|| {
        let best = (0..8)
            .map(|_| {
                let began = Instant::now();
                (0..1000).for_each(|_| spin_loop());
                began.elapsed().as_nanos() as u64
            })
            .min()
            .unwrap_or(1);
        (64 * UNIT * 1000 / best.max(1)).max(1)
    });
    for _ in 0..(units * pauses / 64).max(1) {
        spin_loop();
    }
}
