//! Each error has its number, and its text names the queue.

use super::*;

fn queue() -> std::sync::Arc<str> {
    "frames".into()
}

#[test]
fn errors_have_the_numbers_that_the_contract_gives_them() {
    let status = |failure: Failure| failure.status;
    assert_eq!(status(PutError::Full.into()), PRODCON_FULL);
    assert_eq!(status(GetError::Empty.into()), PRODCON_EMPTY);
    assert_eq!(status(PutError::TimedOut.into()), PRODCON_TIMED_OUT);
    assert_eq!(status(GetError::TimedOut.into()), PRODCON_TIMED_OUT);
    assert_eq!(status(PutError::NotReady.into()), PRODCON_NOT_READY);
    assert_eq!(status(PutError::Stopped.into()), PRODCON_STOPPED);
    assert_eq!(status(GetError::Stopped.into()), PRODCON_STOPPED);
    assert_eq!(
        status(
            PutError::TooLarge {
                queue: queue(),
                len: 9,
                max: 8
            }
            .into()
        ),
        PRODCON_TOO_LARGE
    );
    assert_eq!(
        status(
            PutError::WrongLength {
                queue: queue(),
                len: 7,
                expected: 8
            }
            .into()
        ),
        PRODCON_INVALID
    );
    assert_eq!(status(PutError::InHand { queue: queue() }.into()), PRODCON_INVALID);
    for (fault, expected) in [
        (Fault::Removed { queue: queue() }, PRODCON_NOT_FOUND),
        (
            Fault::Corrupt {
                queue: queue(),
                what: "x".into(),
            },
            PRODCON_CORRUPT,
        ),
        (Fault::Exhausted { queue: queue() }, PRODCON_EXHAUSTED),
        (Fault::Forked { queue: queue() }, PRODCON_FORKED),
        (Fault::AtMostOnce { queue: queue() }, PRODCON_INVALID),
        (Fault::ReadOnly { queue: queue() }, PRODCON_OS),
        (
            Fault::Os {
                queue: queue(),
                call: "open",
                errno: 2,
            },
            PRODCON_OS,
        ),
    ] {
        let failure = Failure::from(PutError::from(fault));
        assert_eq!(failure.status, expected);
        assert!(matches!(&failure.text, Text::Whole(text) if text.contains("'frames'")), "{failure:?}");
    }
    for (error, expected) in [
        (
            OpenError::NotFound {
                queue: queue(),
                directory: "/d".into(),
            },
            PRODCON_NOT_FOUND,
        ),
        (OpenError::NoDirectory { directory: "/d/frames".into() }, PRODCON_NOT_FOUND),
        (OpenError::Replaced { queue: queue() }, PRODCON_NOT_FOUND),
        (OpenError::Removed { queue: queue() }, PRODCON_NOT_FOUND),
        (OpenError::Busy { queue: queue() }, PRODCON_OS),
        (OpenError::Exists { queue: queue() }, PRODCON_EXISTS),
        (OpenError::Name { name: "frames/".into() }, PRODCON_INVALID),
        (
            OpenError::Invalid {
                queue: queue(),
                what: "x".into(),
            },
            PRODCON_INVALID,
        ),
        (
            OpenError::Denied {
                queue: queue(),
                path: "/p".into(),
            },
            PRODCON_OS,
        ),
        (
            OpenError::NoSpace {
                queue: queue(),
                bytes: 1,
                directory: "/d".into(),
            },
            PRODCON_OS,
        ),
        (
            OpenError::Corrupt {
                queue: queue(),
                what: "x".into(),
            },
            PRODCON_CORRUPT,
        ),
        (
            OpenError::NoSeat {
                queue: queue(),
                seats: 1,
                wanted: 1,
            },
            PRODCON_NO_SEAT,
        ),
        (
            OpenError::Incompatible {
                queue: queue(),
                what: "version",
                expected: "2".into(),
                found: "3".into(),
            },
            PRODCON_INCOMPATIBLE,
        ),
        (
            OpenError::Os {
                queue: queue(),
                call: "open",
                errno: 24,
            },
            PRODCON_OS,
        ),
    ] {
        let failure = Failure::from(error);
        assert_eq!(failure.status, expected, "{failure:?}");
        assert!(matches!(&failure.text, Text::Whole(text) if text.contains("frames")), "{failure:?}");
    }
}

#[test]
fn nothing_unwinds_and_the_text_says_what_happened() {
    assert_eq!(run(|| Ok(())), PRODCON_OK);
    assert_eq!(run(|| std::panic::panic_any(7u8)), PRODCON_PANIC);
    assert_eq!(run(|| panic!("planted")), PRODCON_PANIC);
    // SAFETY: this thread's text, NUL-terminated, and nothing fails meanwhile.
    let text = unsafe { CStr::from_ptr(prodcon_last_error()) }.to_str().unwrap();
    assert!(text.contains("planted"), "{text}");
    assert_eq!(run(|| Err(Failure::invalid("a\0b"))), PRODCON_INVALID);
    // SAFETY: as above.
    let text = unsafe { CStr::from_ptr(prodcon_last_error()) }.to_str().unwrap();
    assert_eq!(text, "a\\0b");
}
