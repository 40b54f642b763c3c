//! Segment files that are written once by the library and then copied: making one takes many system calls, and all that is different is in its bytes.

use crate::scratch;
use prodcon::pretend::Pretended;
use prodcon::{AttachOptions, Control, Payload, QueueOptions};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// As many are kept.
const KEPT: usize = 10_000;

/// The bytes of a segment: these, and zeros.
#[derive(Clone)]
pub(crate) struct Bytes {
    pub(crate) head: Vec<u8>,
    pub(crate) len: u64,
}

/// Segments made, by what tells one from another.
pub(crate) struct Made<K>(HashMap<K, Rc<Bytes>>);

impl<K: Eq + Hash> Made<K> {
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    /// The bytes of a fresh segment with these options. `key` stands for them.
    pub(crate) fn fresh<T: Payload + ?Sized>(
        &mut self,
        key: K,
        options: impl FnOnce() -> QueueOptions,
    ) -> Rc<Bytes> {
        let make = || {
            let dir = scratch::real();
            drop(
                Control::create::<T>(
                    "made",
                    &options().attach(AttachOptions::new().directory(&dir)),
                )
                .expect("a good plan"),
            );
            let mut head = std::fs::read(dir.join("prodcon.made")).expect("it was just made");
            prodcon::unlink_in(&dir, "made").expect("it was just made");
            let len = head.len() as u64;
            head.truncate(
                head.iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1),
            );
            head.shrink_to_fit();
            Rc::new(Bytes { head, len })
        };
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.entry(key).or_insert_with(make).clone()
    }
}

/// A queue's file, of the real kernel or of the pretended one.
pub(crate) enum File {
    Real(Rc<std::fs::File>),
    Pretended(Pretended),
}

thread_local! {
    /// Each name is one file for all runs, overwritten in place.
    static FILES: RefCell<HashMap<&'static str, Rc<std::fs::File>>> = RefCell::new(HashMap::new());
}

/// Makes the queue `name` of these bytes, with zeros up to `len`.
pub(crate) fn place(name: &'static str, head: &[u8], len: u64) -> File {
    if scratch::pretends() {
        let file = Pretended::new(name);
        file.fill(head, len);
        return File::Pretended(file);
    }
    File::Real(place_really(name, head, len))
}

/// As [`place`], whatever the input is for: the library makes queues with a dead-letter queue only where that is.
pub(crate) fn place_really(name: &'static str, head: &[u8], len: u64) -> Rc<std::fs::File> {
    let file = FILES.with_borrow_mut(|files| {
        let path = || scratch::real().join(format!("prodcon.{name}"));
        let open = || {
            let file = std::fs::File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path());
            Rc::new(file.expect("a file"))
        };
        files.entry(name).or_insert_with(open).clone()
    });
    // Off with the rest, so that it is zeros.
    file.set_len(head.len() as u64).expect("a length");
    file.set_len(len).expect("a length");
    file.write_all_at(head, 0).expect("space");
    file
}

/// These options with the dead-letter queue `name`, if there is one. It is placed where the library makes the queue.
pub(crate) fn with_letters(
    options: QueueOptions,
    name: &'static str,
    letters: Option<&Bytes>,
    limit: u8,
) -> QueueOptions {
    match letters {
        Some(letters) => {
            place_really(name, &letters.head, letters.len);
            options.dead_letter(name, limit)
        }
        None => options,
    }
}

impl File {
    pub(crate) fn set_len(&self, len: u64) {
        match self {
            Self::Real(file) => file.set_len(len).expect("a length"),
            Self::Pretended(file) => file.set_len(len),
        }
    }

    /// Within the file.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) {
        match self {
            Self::Real(file) => file.write_all_at(bytes, at).expect("within the file"),
            Self::Pretended(file) => file.write_at(bytes, at),
        }
    }

    /// How much there was.
    pub(crate) fn read_at(&self, into: &mut [u8], at: u64) -> usize {
        match self {
            Self::Real(file) => file.read_at(into, at).unwrap_or(0),
            Self::Pretended(file) => file.read_at(into, at),
        }
    }
}
