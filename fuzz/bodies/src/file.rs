//! Segment files that are written once by the library and then copied: making one takes many system calls, and all that is different is in its bytes.

use crate::scratch;
use prodcon::{Control, Options, Payload};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// As many are kept.
const KEPT: usize = 4000;

thread_local! {
    /// By the text that tells one from another.
    static MADE: RefCell<HashMap<String, Vec<u8>>> = RefCell::new(HashMap::new());
    /// Each name is one file for all runs, overwritten in place.
    static FILES: RefCell<HashMap<&'static str, File>> = RefCell::new(HashMap::new());
}

/// The bytes of a fresh segment with these options. `key` stands for them.
pub(crate) fn fresh<T: Payload + ?Sized>(key: String, options: &Options) -> Vec<u8> {
    MADE.with_borrow_mut(|made| {
        let make = || {
            let dir = scratch::directory();
            drop(Control::create_for::<T>("made", &options.clone().directory(&dir)).expect("a good plan"));
            let bytes = std::fs::read(dir.join("prodcon.made")).expect("it was just made");
            prodcon::unlink_in(&dir, "made").expect("it was just made");
            bytes
        };
        if made.len() >= KEPT {
            made.clear();
        }
        made.entry(key).or_insert_with(make).clone()
    })
}

/// Makes the queue `name` of these bytes.
pub(crate) fn place(name: &'static str, bytes: &[u8]) -> File {
    let file = FILES.with_borrow_mut(|files| {
        let path = || scratch::directory().join(format!("prodcon.{name}"));
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path())
                .expect("a file")
        };
        files.entry(name).or_insert_with(open).try_clone().expect("a descriptor")
    });
    file.set_len(bytes.len() as u64).expect("a length");
    file.write_all_at(bytes, 0).expect("space");
    file
}
