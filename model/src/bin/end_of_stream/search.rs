//! The search, breadth first over all interleavings. Visited states are kept as 128-bit hashes.

use super::*;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

impl Scenario {
    pub(super) fn run(&self, trace: bool) -> Outcome {
        let init = self.init();
        let mut seen: HashSet<(u64, u64), BuildHasherDefault<Id>> = HashSet::default();
        let mut came: Vec<(u32, u8)> = vec![(0, 0)];
        let mut todo = VecDeque::from([(0u32, init)]);
        seen.insert(hash(&init));
        let (mut ends, mut bad) = (0usize, None);
        'o: while let Some((from, s)) = todo.pop_front() {
            let mut moved = false;
            for i in 0..self.procs() {
                let k = self
                    .kill(&s, i)
                    .map(|t| (Ok(self.canon(&t)), i as u8 + 128));
                let st = self.go(&s, i).transpose();
                moved |= st.is_some();
                for (t, by) in k.into_iter().chain(st.map(|t| (t, i as u8))) {
                    let r = t.and_then(|t| {
                        if seen.insert(hash(&t)) {
                            came.push((from, by));
                            todo.push_back((came.len() as u32 - 1, t));
                            self.check(&t)?;
                        }
                        Ok(())
                    });
                    if let Err(e) = r {
                        bad = Some((from, by, e));
                        break 'o;
                    }
                }
            }
            if !moved {
                ends += 1;
                if let Err(e) = self.check_end(&s) {
                    bad = Some((from, NONE, e));
                    break;
                }
            }
        }
        let short = bad.is_none() && came.len() < self.floor;
        let good =
            !short && bad.is_some() == (self.flaw.is_some() && !self.name.contains("is well"));
        let mut text = format!(
            "{:<44} {:>9} states {:>6} ends  {}",
            self.name,
            came.len(),
            ends,
            match (&bad, self.flaw) {
                _ if short => format!("TOO FEW: expected {}", self.floor),
                (None, None) => "ok".into(),
                (None, Some(f)) => format!("{} {f:?}", if good { "ok with" } else { "NOT CAUGHT" }),
                (Some((_, _, e)), Some(f)) => format!("fails as it must with {f:?}: {e}"),
                (Some((_, _, e)), None) => format!("VIOLATION {e}"),
            }
        );
        if let Some((mut last, by, _)) = bad
            && (trace || !good)
        {
            let mut path = vec![by];
            while last != 0 {
                path.push(came[last as usize].1);
                last = came[last as usize].0;
            }
            let mut s = init;
            for by in path.into_iter().rev() {
                if by == NONE {
                    break;
                }
                let i = (by & 127) as usize;
                text += &format!(
                    "\n   {} {}{:?}   state {} slots {:?}",
                    i,
                    if by > 127 { "DIES at " } else { "" },
                    s.p[i].at,
                    s.state,
                    &s.slots[..self.n as usize]
                );
                match if by > 127 {
                    Ok(self.kill(&s, i).map(|t| self.canon(&t)))
                } else {
                    self.go(&s, i)
                } {
                    Ok(Some(t)) => s = t,
                    _ => break,
                }
            }
            text += &format!("\n   {:?}", s);
        }
        Outcome {
            text,
            good,
            states: came.len(),
        }
    }
}

fn hash(s: &Shared) -> (u64, u64) {
    let mut m = Mix { a: 0, b: 0, w: 1 };
    s.hash(&mut m);
    m.take();
    let e = |x: u64| (x ^ x >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (e(m.a) ^ e(m.a) >> 32, e(m.b) ^ e(m.b) >> 32)
}
struct Mix {
    a: u64,
    b: u64,
    w: u64,
}
impl Mix {
    fn take(&mut self) {
        self.a = (self.a.rotate_left(29) ^ self.w).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.a ^= self.a >> 31;
        self.b = (self.b.rotate_left(23) ^ self.w ^ 0x5851_F42D_4C95_7F2D)
            .wrapping_mul(0xBF58_476D_1CE4_E5B9);
        self.b ^= self.b >> 29;
        self.w = 1;
    }
}
impl Hasher for Mix {
    fn write(&mut self, b: &[u8]) {
        for x in b {
            self.write_u8(*x);
        }
    }
    fn write_u8(&mut self, b: u8) {
        self.w = self.w << 8 | b as u64;
        if self.w >> 56 != 0 {
            self.take();
        }
    }
    fn write_isize(&mut self, d: isize) {
        self.write_u8(d as u8 ^ 0xA5);
    }
    fn write_usize(&mut self, _: usize) {}
    fn finish(&self) -> u64 {
        self.a
    }
}
#[derive(Default)]
struct Id(u64);
impl Hasher for Id {
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, x: u64) {
        self.0 = x;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
