//! Target `segment`: arbitrary bytes as a segment file, then attach and operate.
//!
//! The file begins as raw input, or as a valid segment of a geometry that the input chooses. Then the input attaches endpoints (bytes, typed, control), operates them,
//! kills them in the middle of it, and damages the file at chosen places, in any order. Whatever the bytes are: no panic, no wrong access, no endless loop, figures within
//! their ranges. While nothing was damaged: no problem reported, accounts exact.

mod image;
mod operate;

use crate::scratch::{self, Kernel};
use crate::trace::tell;
use arbitrary::{Result, Unstructured};
use image::{Image, Plan};
use operate::End;
use prodcon::{AttachOptions, ErrorKind, Role, mortal};
use std::path::PathBuf;

/// Actions of one run: enough to get anywhere, few enough to be fast.
const ACTIONS: usize = 48;
/// Endpoints at a time.
const ENDS: usize = 3;

/// Runs one input, on the kernel that it is for.
pub fn run(data: &[u8]) {
    run_on(Kernel::of(data), data);
}

/// Runs one input.
pub fn run_on(kernel: Kernel, data: &[u8]) {
    scratch::begin(kernel);
    let mut input = Unstructured::new(data);
    // What ends too early is only shorter.
    let _ = Run::begin(&mut input).and_then(|mut run| run.act(&mut input));
}

struct Run {
    dir: PathBuf,
    image: Image,
    ends: [Option<End>; ENDS],
    /// The bytes are not what the library made of them.
    damaged: bool,
}

impl Run {
    fn begin(input: &mut Unstructured) -> Result<Self> {
        let dir = scratch::directory();
        let damaged = input.ratio(1, 8)?;
        let image = if damaged {
            Image::raw(input)?
        } else {
            Image::valid(&Plan::choose(input)?)
        };
        Ok(Self {
            dir,
            image,
            ends: [None, None, None],
            damaged,
        })
    }

    fn act(&mut self, input: &mut Unstructured) -> Result<()> {
        for _ in 0..ACTIONS {
            if input.is_empty() {
                break;
            }
            self.action(input)?;
        }
        self.list();
        self.check();
        Ok(())
    }

    fn action(&mut self, input: &mut Unstructured) -> Result<()> {
        let who = input.int_in_range(0..=ENDS - 1)?;
        let what = input.int_in_range(0..=15u8)?;
        tell(|| format!("-- {who} does {what}"));
        match what {
            0..=3 => {
                if let Some(old) = self.ends[who].take() {
                    if input.arbitrary()? {
                        mortal::abandon(old)
                    } else {
                        drop(old)
                    }
                }
                self.ends[who] = self.attach(input)?;
            }
            4..=9 => {
                let life = if input.ratio(1, 6)? {
                    input.int_in_range(0..=24)?
                } else {
                    u32::MAX
                };
                if let Some(end) = &mut self.ends[who] {
                    let done = mortal::live(life, || end.operate(input));
                    match done {
                        Some(result) => result?,
                        None => mortal::abandon(self.ends[who].take()),
                    }
                }
            }
            10..=13 => {
                self.image.damage(input)?;
                self.damaged = true;
            }
            14 => {
                // A mapping behind the end of the file is a SIGBUS, and outside of what is promised: only while nobody is attached.
                let nobody = self.ends.iter().all(Option::is_none);
                self.image.resize(input, nobody)?;
                self.damaged = true;
            }
            _ => self.check(),
        }
        Ok(())
    }

    fn attach(&mut self, input: &mut Unstructured) -> Result<Option<End>> {
        let life = if input.ratio(1, 16)? {
            input.int_in_range(0..=12)?
        } else {
            u32::MAX
        };
        let kind = input.int_in_range(0..=3u8)?;
        let role = *input.choose(&[Role::Both, Role::Producer, Role::Consumer])?;
        let attach = AttachOptions::new().directory(&self.dir).role(role);
        let attach = attach
            .max_unacked(input.int_in_range(0..=3)?)
            .min_unacked(1);
        match mortal::live(life, || End::attach(&attach, kind)) {
            None => Ok(None),
            Some(Ok(end)) => {
                end.check_attached();
                Ok(Some(end))
            }
            Some(Err(error)) => {
                let expected = matches!(error.kind(), ErrorKind::Incompatible | ErrorKind::NoSeat);
                assert!(
                    expected || self.damaged,
                    "attaching to a good segment: {error}"
                );
                assert!(!error.to_string().is_empty());
                Ok(None)
            }
        }
    }

    /// The list, which nothing may disturb.
    fn list(&self) {
        let list = prodcon::list_in(&self.dir).expect("the directory is there");
        assert!(list.iter().any(|entry| entry.name == image::NAME));
        let entry = list.iter().find(|entry| entry.name == image::NAME);
        assert!(self.damaged || entry.is_some_and(|entry| entry.segment.is_ok()));
    }

    /// The doctor, which nothing may disturb either.
    fn check(&self) {
        let control = match prodcon::Control::attach_with(
            image::NAME,
            &AttachOptions::new().directory(&self.dir),
        ) {
            Ok(control) => control,
            Err(error) => {
                assert!(self.damaged, "a good segment: {error}");
                return;
            }
        };
        let report = control
            .doctor()
            .expect("nobody forked, and the file may be written");
        let stats = control.stats().expect("nobody forked");
        operate::check_stats(&stats);
        if !self.damaged {
            assert!(report.ok() && report.undecided == 0, "{report:?}");
            assert!(stats.adds_up(), "{stats:?}");
        }
    }
}
