//! Each error has its number, and its text names the queue.

use super::*;
use rust::bindings::TestName;
use rust::{Control, QueueOptions, ReadyQueue};

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
    assert_eq!(status(PutError::Cancelled.into()), PRODCON_CANCELLED);
    assert_eq!(status(GetError::Cancelled.into()), PRODCON_CANCELLED);
    for (kind, expected) in [
        (ErrorKind::NotFound, PRODCON_NOT_FOUND),
        (ErrorKind::Removed, PRODCON_NOT_FOUND),
        (ErrorKind::AlreadyExists, PRODCON_EXISTS),
        (ErrorKind::InvalidName, PRODCON_INVALID),
        (ErrorKind::InvalidOption, PRODCON_INVALID),
        (ErrorKind::OptionsDiffer, PRODCON_DIFFERS),
        (ErrorKind::Incompatible, PRODCON_INCOMPATIBLE),
        (ErrorKind::NoSeat, PRODCON_NO_SEAT),
        (ErrorKind::PermissionDenied, PRODCON_OS),
        (ErrorKind::ReadOnly, PRODCON_OS),
        (ErrorKind::NoSpace, PRODCON_OS),
        (ErrorKind::TooLarge, PRODCON_TOO_LARGE),
        (ErrorKind::WrongLength, PRODCON_INVALID),
        (ErrorKind::AtMostOnce, PRODCON_INVALID),
        (ErrorKind::StateRefused, PRODCON_INVALID),
        (ErrorKind::Forked, PRODCON_FORKED),
        (ErrorKind::Corrupt, PRODCON_CORRUPT),
        (ErrorKind::Exhausted, PRODCON_EXHAUSTED),
        (ErrorKind::Os, PRODCON_OS),
        (ErrorKind::NotAWorker, PRODCON_INVALID),
    ] {
        assert_eq!(status_of(kind), expected, "{kind:?}");
    }
}

#[test]
fn the_text_of_an_error_names_the_queue_and_what_differs() {
    let name = TestName::new();
    let mut queue = ReadyQueue::<[u8]>::create(&name, &QueueOptions::new(1).item_size(8)).unwrap();
    let says = |failure: Failure, status, text: &str| {
        assert_eq!(failure.status, status, "{failure:?}");
        assert!(
            matches!(&failure.text, Text::Whole(whole) if whole.contains(&*name) && whole.contains(text)),
            "{failure:?}"
        );
    };
    says(
        queue.put(&[0; 9]).unwrap_err().into(),
        PRODCON_TOO_LARGE,
        "9 bytes",
    );
    let wider = QueueOptions::new(2).item_size(8);
    let differs = ReadyQueue::<[u8]>::create_or_attach(&name, &wider).unwrap_err();
    says(differs.into(), PRODCON_DIFFERS, "capacity is 1, wanted 2");
    let exists = ReadyQueue::<[u8]>::create(&name, &wider).unwrap_err();
    says(exists.into(), PRODCON_EXISTS, "");
    rust::unlink(&name).unwrap();
    says(
        Control::attach(&name).unwrap_err().into(),
        PRODCON_NOT_FOUND,
        "",
    );
}

#[test]
fn nothing_unwinds_and_the_text_says_what_happened() {
    assert_eq!(run(|| Ok(())), PRODCON_OK);
    assert_eq!(run(|| std::panic::panic_any(7u8)), PRODCON_PANIC);
    assert_eq!(run(|| panic!("planted")), PRODCON_PANIC);
    // SAFETY: this thread's text, NUL-terminated, and nothing fails meanwhile.
    let text = unsafe { CStr::from_ptr(prodcon_last_error()) }
        .to_str()
        .unwrap();
    assert!(text.contains("planted"), "{text}");
    assert_eq!(run(|| Err(Failure::invalid("a\0b"))), PRODCON_INVALID);
    // SAFETY: as above.
    let text = unsafe { CStr::from_ptr(prodcon_last_error()) }
        .to_str()
        .unwrap();
    assert_eq!(text, "a\\0b");
}
