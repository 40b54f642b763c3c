//! What a queue of a soak promises.

use std::fmt;

/// Blocks that a consumer of a queue with batches has in hand at most.
pub const HANDS: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode {
    pub at_least_once: bool,
    pub lossy: bool,
    /// Most items in one exchange. Above 1 consumers also have several blocks in hand.
    pub batch: u32,
}

impl Mode {
    /// The one that was asked for, else a choice of all there are.
    pub fn chosen(at_least_once: bool, lossy: bool, batch: Option<u32>) -> Vec<Self> {
        if at_least_once || lossy || batch.is_some() {
            let batch = batch.unwrap_or(1);
            return vec![Self {
                at_least_once,
                lossy,
                batch,
            }];
        }
        let all = [
            (false, false, 1),
            (true, false, 1),
            (false, true, 1),
            (true, true, 1),
            (true, false, 8),
            (false, true, 8),
        ];
        all.map(|(at_least_once, lossy, batch)| Self {
            at_least_once,
            lossy,
            batch,
        })
        .to_vec()
    }

    /// Part of a queue's name.
    pub fn tag(self) -> String {
        let delivery = if self.at_least_once { "again" } else { "once" };
        let lossy = if self.lossy { "-lossy" } else { "" };
        format!("{delivery}{lossy}-{}", self.batch)
    }

    /// Items that a consumer may have in hand at once, those of a block begun included.
    pub fn grasp(self) -> u64 {
        if self.batch > 1 {
            u64::from(HANDS + 1) * u64::from(self.batch)
        } else {
            1
        }
    }

    /// Seats that a consumer takes.
    pub fn seats(self) -> u32 {
        if self.batch > 1 { HANDS + 1 } else { 1 }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.at_least_once {
            "at-least-once"
        } else {
            "at-most-once"
        })?;
        f.write_str(if self.lossy { ", lossy" } else { "" })?;
        if self.batch > 1 {
            write!(f, ", batches of {}", self.batch)?;
        }
        Ok(())
    }
}
