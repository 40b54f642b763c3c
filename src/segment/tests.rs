//! The named file: each damage has its own message, nothing is seen half made, nothing is left
//! behind.

use super::lock_bytes::{BUILDING, REMOVER};
use super::*;
use crate::layout::{HEADER_SIZE, RawHeader, flags};
use crate::sync::pair::tests::ABSENT;
use std::os::unix::fs::{FileExt, symlink};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory of the test's own, removed by Drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // tmpfs if there is one: so are the segments of real queues.
        let base = if Path::new("/dev/shm").is_dir() {
            "/dev/shm".into()
        } else {
            std::env::temp_dir()
        };
        let path = base.join(format!(
            "prodcon-test-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
    fn place(&self, name: &str) -> Place {
        Place::new(Some(&self.0), name).unwrap()
    }
    fn create(&self, name: &str) -> Segment {
        Segment::create(self.place(name), &spec()).unwrap()
    }
    fn files(&self) -> usize {
        std::fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn spec() -> Spec {
    Spec {
        geometry: Geometry::new(5, 3, 24, 8, 1).unwrap(),
        flags: flags::AT_LEAST_ONCE,
        type_name: Some("sample".into()),
        max_deliveries: 4,
        dead_letter: "failed".into(),
        layout: 0x1234,
        mode: 0o600,
        ready: true,
        slot: |_, index| 1000 + u64::from(index),
        record: |_, index| 2000 + u64::from(index),
    }
}

fn raw(place: &Place) -> RawHeader {
    let mut raw: RawHeader = bytemuck::Zeroable::zeroed();
    File::open(place.path())
        .unwrap()
        .read_exact_at(bytemuck::bytes_of_mut(&mut raw), 0)
        .unwrap();
    raw
}

fn overwrite(place: &Place, raw: &RawHeader) {
    File::options()
        .write(true)
        .open(place.path())
        .unwrap()
        .write_all_at(bytemuck::bytes_of(raw), 0)
        .unwrap();
}

#[test]
fn who_attaches_sees_what_was_created() {
    let scratch = Scratch::new();
    let made = scratch.create("a");
    let there = Segment::attach(scratch.place("a")).unwrap();
    assert_eq!(
        (&there.header, there.geometry, there.read_only),
        (&made.header, spec().geometry, false)
    );
    let QueueInfo {
        type_name,
        dead_letter,
        max_deliveries,
        lossy,
        at_least_once,
        creator_pid,
        ..
    } = &there.header;
    assert_eq!(
        (
            type_name.as_str(),
            dead_letter.as_str(),
            *max_deliveries,
            *lossy,
            *at_least_once,
            *creator_pid
        ),
        ("sample", "failed", 4, false, true, std::process::id())
    );
    assert_eq!(
        (there.header.id, there.header.layout, there.header.owned),
        (made.header.id, 0x1234, false)
    );
    assert_ne!(made.header.id, scratch.create("b").header.id);
    assert_eq!(
        made.header.id.to_string().parse::<QueueId>().unwrap(),
        made.header.id
    );
    assert!(
        "00".parse::<QueueId>().is_err()
            && "+0000000000000000000000000000000"
                .parse::<QueueId>()
                .is_err()
    );
    assert_eq!(made.words().gate.ready.load(Ordering::Relaxed), 1);
    assert_eq!(made.words().gate.state.load(Ordering::Relaxed), 2);
    for seat in 0..3 {
        assert_eq!(
            made.seat(seat).record.load(Ordering::Relaxed),
            2000 + u64::from(seat)
        );
    }
    made.words().gate.orphans.store(9, Ordering::Relaxed);
    assert_eq!(there.words().gate.orphans.load(Ordering::Relaxed), 9);
    let reader = Segment::attach_read_only(scratch.place("a")).unwrap();
    assert!(reader.read_only && reader.words().gate.orphans.load(Ordering::Relaxed) == 9);
    assert!(
        made.lease.try_lock(0).unwrap()
            && reader.lease.is_locked(0).unwrap()
            && !there.lease.try_lock(0).unwrap()
    );
}

#[test]
fn each_damaged_field_is_refused_and_named() {
    type Damage = (&'static str, fn(&mut RawHeader));
    let damages: [Damage; 27] = [
        ("no prodcon segment", |raw| raw.magic ^= 1),
        ("format version is 2, expected 3", |raw| raw.version = 2),
        ("format version is 0, expected 3", |raw| raw.version = 0),
        ("header size", |raw| raw.header_size = 0),
        ("total size", |raw| raw.total_size += 64),
        ("total size", |raw| raw.total_size = u64::MAX),
        ("capacity", |raw| raw.capacity = 0),
        ("blocks", |raw| raw.capacity = u32::MAX),
        ("seats", |raw| raw.seats = 0),
        ("offset of the slots", |raw| raw.seats += 1),
        ("more than a segment can hold", |raw| {
            raw.item_size = u64::MAX
        }),
        ("slot size", |raw| raw.slot_size = 16),
        ("slot size", |raw| raw.slot_size = 0),
        ("block size", |raw| raw.block_size = 0),
        ("offset of the slots", |raw| raw.slots_offset = u64::MAX),
        ("offset of the seats", |raw| raw.seats_offset = 0),
        ("offset of the blocks", |raw| raw.blocks_offset += 8),
        ("alignment", |raw| raw.item_align = 3),
        ("flags", |raw| raw.flags |= 1 << 31),
        ("tag", |raw| raw.tag = 2),
        ("offset of the payload", |raw| raw.payload_offset = 4),
        ("type name", |raw| raw.type_name_len = u32::MAX),
        ("type name", |raw| raw.type_name[0] = 0xff),
        ("batches of 0 items", |raw| raw.batch = 0),
        ("block size", |raw| raw.batch = 2),
        ("deliveries", |raw| raw.max_deliveries = 256),
        ("dead-letter", |raw| {
            raw.dead_letter_len = MAX_NAME as u32 + 1
        }),
    ];
    let scratch = Scratch::new();
    let place = scratch.place("a");
    drop(scratch.create("a"));
    let good = raw(&place);
    // With the checksum made good too: the field itself is checked, not only the sum.
    for (named, damage) in damages {
        let mut bad = good;
        damage(&mut bad);
        bad.checksum = bad.sum();
        overwrite(&place, &bad);
        let error = Segment::attach(place.clone()).unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::Corrupt { .. } | OpenError::Incompatible { .. }
            ) && error.to_string().contains(named),
            "{error}, which does not say '{named}'"
        );
        assert!(matches!(
            &list(&scratch.0).unwrap()[..],
            [ListEntry {
                segment: Err(_),
                ..
            }]
        ));
    }
    // Each byte in turn, the sum left as it was.
    for at in 0..HEADER_SIZE {
        let mut bad = good;
        bytemuck::bytes_of_mut(&mut bad)[at] ^= 0x10;
        overwrite(&place, &bad);
        let error = Segment::attach(place.clone()).unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::Corrupt { .. } | OpenError::Incompatible { .. }
            ),
            "byte {at}: {error}"
        );
    }
    overwrite(&place, &good);
    Segment::attach(place).unwrap();
}

#[test]
fn what_is_no_segment_is_refused() {
    let scratch = Scratch::new();
    let corrupt = |name: &str, says: &str| {
        let error = Segment::attach(scratch.place(name)).unwrap_err();
        assert!(
            matches!(error, OpenError::Corrupt { .. }) && error.to_string().contains(says),
            "{error}, which does not say '{says}'"
        );
    };
    let place = scratch.place("short");
    drop(scratch.create("short"));
    File::options()
        .write(true)
        .open(place.path())
        .unwrap()
        .set_len(spec().geometry.total_size - 1)
        .unwrap();
    corrupt("short", "cut off");
    for len in [0, 8, 511] {
        File::options()
            .write(true)
            .open(place.path())
            .unwrap()
            .set_len(len)
            .unwrap();
        corrupt("short", "too few");
    }
    std::fs::write(scratch.place("text").path(), [b'x'; 4096]).unwrap();
    corrupt("text", "no prodcon segment");
    std::fs::create_dir(scratch.place("directory").path()).unwrap();
    corrupt("directory", "not a regular file");
    symlink("/dev/zero", scratch.place("link").path()).unwrap();
    corrupt("link", "not a regular file");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        scratch.place("pipe").path(),
        Mode::from_raw_mode(0o600),
    )
    .unwrap();
    corrupt("pipe", "not a regular file");
    assert_eq!(list(&scratch.0).unwrap().len(), 5);
}

#[test]
fn names_and_places_that_cannot_be_are_told_apart() {
    let scratch = Scratch::new();
    let long = "x".repeat(MAX_NAME + 1);
    for bad in ["", ".", ".hidden", "-rf", "a/b", "a b", "ä", "a\0", &long] {
        assert!(
            matches!(
                Place::new(Some(&scratch.0), bad),
                Err(OpenError::Name { .. })
            ),
            "{bad}"
        );
    }
    drop(scratch.create(&long[1..]));
    assert!(matches!(
        Segment::attach(scratch.place("none")),
        Err(OpenError::NotFound { .. })
    ));
    assert!(matches!(
        unlink(&scratch.place("none")),
        Err(OpenError::NotFound { .. })
    ));
    let nowhere = Place::new(Some(&scratch.0.join("nowhere")), "a").unwrap();
    assert!(matches!(
        Segment::attach(nowhere.clone()),
        Err(OpenError::NoDirectory { .. })
    ));
    assert!(matches!(
        Segment::create(nowhere, &spec()),
        Err(OpenError::NoDirectory { .. })
    ));
    assert!(matches!(
        list(&scratch.0.join("nowhere")),
        Err(OpenError::NoDirectory { .. })
    ));
}

#[test]
fn a_taken_name_stays_its_owners() {
    let scratch = Scratch::new();
    let made = scratch.create("a");
    made.words().gate.orphans.store(7, Ordering::Relaxed);
    assert!(matches!(
        Segment::create(scratch.place("a"), &spec()),
        Err(OpenError::Exists { .. })
    ));
    // However little space there is: the name is what stands in the way.
    let huge = Spec {
        geometry: Geometry::new(1 << 16, 1, 1 << 40, 8, 1).unwrap(),
        ..spec()
    };
    assert!(matches!(
        Segment::create(scratch.place("a"), &huge),
        Err(OpenError::Exists { .. })
    ));
    assert_eq!(
        Segment::attach(scratch.place("a"))
            .unwrap()
            .words()
            .gate
            .orphans
            .load(Ordering::Relaxed),
        7
    );
    assert_eq!(scratch.files(), 1);
}

#[test]
fn a_creation_that_fails_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let huge = Spec {
        geometry: Geometry::new(1 << 16, 1, 1 << 40, 8, 1).unwrap(),
        ..spec()
    };
    let error = Segment::create(scratch.place("a"), &huge).unwrap_err();
    assert!(
        matches!(error, OpenError::NoSpace { bytes, .. } if bytes == huge.geometry.total_size),
        "{error}"
    );
    assert_eq!(scratch.files(), 0);
}

#[test]
fn the_mode_is_exact_under_any_umask_and_the_file_is_reserved() {
    let scratch = Scratch::new();
    let modes = [0o600, 0o622, 0o660, 0o666];
    let code = in_a_fork(|| {
        // SAFETY: changes the mask of this child alone.
        unsafe { libc::umask(0o777) };
        let made = |mode| {
            Segment::create(
                scratch.place(&format!("m{mode:o}")),
                &Spec { mode, ..spec() },
            )
            .is_ok()
        };
        i32::from(!modes.into_iter().all(made))
    });
    assert_eq!(code, 0);
    for mode in modes {
        let meta = std::fs::metadata(scratch.place(&format!("m{mode:o}")).path()).unwrap();
        assert_eq!(
            (meta.mode() & 0o7777, meta.len()),
            (mode, spec().geometry.total_size)
        );
        assert!(
            meta.blocks() * 512 >= meta.len(),
            "holes: {} blocks",
            meta.blocks()
        );
    }
    let entries = list(&scratch.0).unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.mode).collect::<Vec<_>>(),
        modes
    );
}

#[test]
fn where_files_have_names_the_outcome_is_the_same() {
    let scratch = Scratch::new();
    let made = Segment::create_temporary(scratch.place("a"), &spec()).unwrap();
    assert_eq!(
        (scratch.files(), made.lease.links().unwrap()),
        (1, 1),
        "the temporary name is still there"
    );
    let there = Segment::attach(scratch.place("a")).unwrap();
    assert!(there.header == made.header && !there.lease.is_locked(BUILDING).unwrap());
    made.words().gate.orphans.store(5, Ordering::Relaxed);
    assert_eq!(there.words().gate.orphans.load(Ordering::Relaxed), 5);
    assert!(matches!(
        Segment::create_temporary(scratch.place("a"), &spec()),
        Err(OpenError::Exists { .. })
    ));
    let huge = Spec {
        geometry: Geometry::new(1 << 16, 1, 1 << 40, 8, 1).unwrap(),
        ..spec()
    };
    assert!(matches!(
        Segment::create_temporary(scratch.place("b"), &huge),
        Err(OpenError::NoSpace { .. })
    ));
    assert_eq!(scratch.files(), 1);
}

#[test]
fn a_dead_process_with_our_id_does_not_take_the_name() {
    let scratch = Scratch::new();
    // More of them than other tests can use up numbers.
    for number in 0..64 {
        std::fs::write(
            scratch
                .0
                .join(format!(".prodcon-tmp.{}.{number}", std::process::id())),
            "half made",
        )
        .unwrap();
    }
    drop(Segment::create_temporary(scratch.place("a"), &spec()).unwrap());
    assert_eq!(clean_temporaries(&scratch.0), 64);
    assert_eq!(scratch.files(), 1);
}

#[test]
fn a_remover_that_does_not_come_to_an_end_is_an_error_for_the_next() {
    let scratch = Scratch::new();
    let made = scratch.create("a");
    let stopped = Segment::attach(scratch.place("a")).unwrap();
    assert!(stopped.lease.try_lock(REMOVER).unwrap());
    assert!(matches!(
        unlink(&scratch.place("a")),
        Err(OpenError::Busy { .. })
    ));
    assert!(matches!(made.unlink(), Err(OpenError::Busy { .. })));
    let reader = Lease::new(File::open(scratch.place("a").path()).unwrap()).unwrap();
    assert!(
        !reader.try_lock_as_reader(REMOVER).unwrap(),
        "a reader and a writer remove at once"
    );
    stopped.lease.unlock(REMOVER).unwrap();
    assert!(reader.try_lock_as_reader(REMOVER).unwrap());
    let second = Lease::new(File::open(scratch.place("a").path()).unwrap()).unwrap();
    assert!(
        !second.try_lock_as_reader(REMOVER).unwrap(),
        "two readers remove at once"
    );
    assert!(matches!(made.unlink(), Err(OpenError::Busy { .. })));
    reader.unlock(REMOVER).unwrap();
    made.unlink().unwrap();
    assert_eq!(scratch.files(), 0);
}

#[test]
fn creators_and_cleaners_do_not_hinder_one_another() {
    let scratch = Scratch::new();
    std::thread::scope(|scope| {
        let creators: Vec<_> = (0..3)
            .map(|thread| {
                let scratch = &scratch;
                scope.spawn(move || {
                    (0..200).for_each(|round| {
                        drop(
                            Segment::create_temporary(
                                scratch.place(&format!("q{thread}.{round}")),
                                &spec(),
                            )
                            .unwrap(),
                        )
                    })
                })
            })
            .collect();
        while !creators
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            clean_temporaries(&scratch.0);
        }
    });
    assert_eq!(scratch.files(), 600);
    assert!(
        list(&scratch.0)
            .unwrap()
            .iter()
            .all(|entry| entry.segment.is_ok())
    );
}

#[test]
fn temporaries_of_the_living_stay_and_those_of_the_dead_go() {
    let scratch = Scratch::new();
    let (dead, living, foreign) = (
        scratch.0.join(".prodcon-tmp.1.0"),
        scratch.0.join(".prodcon-tmp.1.1"),
        scratch.0.join("other"),
    );
    for path in [&dead, &living, &foreign] {
        std::fs::write(path, "half made").unwrap();
    }
    let creator = Lease::new(
        File::options()
            .read(true)
            .write(true)
            .open(&living)
            .unwrap(),
    )
    .unwrap();
    assert!(creator.try_lock(BUILDING).unwrap());
    assert_eq!(clean_temporaries(&scratch.0), 1);
    assert!(!dead.exists() && living.exists() && foreign.exists());
    // Closing alone is not enough while another test's forked child has the description.
    creator.unlock(BUILDING).unwrap();
    drop(creator);
    assert_eq!(clean_temporaries(&scratch.0), 1);
    assert_eq!(scratch.files(), 1);
}

/// What the child did, as its exit code; it runs on a copy of this thread alone.
fn in_a_fork(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child makes system calls and touches its own memory, then leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let code = child();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(code) };
    }
    std::mem::forget(child); // what it would drop is the parent's own
    let mut status = 0;
    // SAFETY: `pid` is our child, `status` a valid place.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(
        libc::WIFEXITED(status),
        "the child was killed: status {status}"
    );
    libc::WEXITSTATUS(status)
}

#[test]
fn a_forked_copy_unmaps_nothing_that_the_child_mapped_since() {
    let scratch = Scratch::new();
    let made = scratch.create("a");
    let (base, len) = (made.base(), spec().geometry.total_size as usize);
    let code = in_a_fork(move || {
        // The parent's mapping is not in the child (MADV_DONTFORK): its addresses are free for
        // whatever the child maps next.
        // SAFETY: the range is free here, as MAP_FIXED_NOREPLACE makes sure.
        let mine = unsafe {
            libc::mmap(
                base.cast(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        if mine != base.cast() {
            return 2;
        }
        drop(made);
        let mut resident = [0u8; 64];
        // SAFETY: mincore only asks about the range, and `resident` has a byte for each of its
        // pages (the segment is a few KiB).
        let there = unsafe { libc::mincore(mine, len, resident.as_mut_ptr()) } == 0;
        i32::from(!there)
    });
    assert_eq!(
        code, 0,
        "1: the forked copy unmapped the child's own memory; 2: the addresses were not free"
    );
}

/// This thread plays a processor that cannot exchange 16 bytes at once.
fn without_pairs<R>(act: impl FnOnce() -> R) -> R {
    ABSENT.set(true);
    let done = act();
    ABSENT.set(false);
    done
}

#[test]
fn a_processor_that_cannot_exchange_a_slot_refuses_the_segment() {
    let dir = Scratch::new();
    let wide = Spec {
        geometry: Geometry::new(5, 3, 8, 8, 1).unwrap().with_copies().unwrap(),
        flags: flags::COPY_IN_SLOT,
        ..spec()
    };
    let made = Segment::create(dir.place("q"), &wide).unwrap();
    assert!(made.header.copy_in_slot);
    let refused = without_pairs(|| Segment::attach(dir.place("q"))).unwrap_err();
    assert!(
        matches!(refused, OpenError::Incompatible { .. }),
        "{refused:?}"
    );
    let text = refused.to_string();
    assert!(
        text.contains("'q'") && text.contains("16 bytes") && text.contains("copy_in_slot(false)"),
        "{text}"
    );
    // A handle that only looks sees words.
    without_pairs(|| Segment::attach_read_only(dir.place("q"))).unwrap();
    if pair::is_supported() {
        Segment::attach(dir.place("q")).unwrap();
    }
}
