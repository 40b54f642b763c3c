//! What a queue of a soak promises. Callers: soak.

use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode {
    pub at_least_once: bool,
    pub lossy: bool,
}

impl Mode {
    /// The one that was asked for, else all there are.
    pub fn chosen(at_least_once: bool, lossy: bool) -> Vec<Self> {
        if at_least_once || lossy {
            return vec![Self { at_least_once, lossy }];
        }
        let all = [(false, false), (true, false), (false, true), (true, true)];
        all.map(|(at_least_once, lossy)| Self { at_least_once, lossy }).to_vec()
    }

    /// Part of a queue's name.
    pub fn tag(self) -> &'static str {
        match (self.at_least_once, self.lossy) {
            (false, false) => "once",
            (true, false) => "again",
            (false, true) => "lossy",
            (true, true) => "lossy-again",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.at_least_once { "at-least-once" } else { "at-most-once" })?;
        f.write_str(if self.lossy { ", lossy" } else { "" })
    }
}
