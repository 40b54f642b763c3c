//! What the types promise: errors that tell, options that are compared, items that are derived.

mod common;

use common::Dir;
use prodcon::bindings::NamedType;
use prodcon::{
    AttachOptions, Batch, CommitError, Control, Delivery, Error, ErrorKind, GetError, Item,
    PutError, ReadyQueue, Reservation,
};
use std::error::Error as _;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, prodcon::Item)]
#[repr(C)]
#[item(name = "weather.sample")]
struct Sample {
    station: u32,
    pub(crate) flags: [u8; 4],
    celsius: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, prodcon::Item)]
#[repr(transparent)]
struct Meters(pub(crate) f64);

#[derive(Debug, Clone, Copy, PartialEq, prodcon::Item)]
#[repr(C)]
struct Nested(Meters, [Sample; 2], pub u64);

#[test]
fn derived_items_have_a_name_and_a_layout() {
    let fields = [("station", 0, 4), ("flags", 4, 4), ("celsius", 8, 8)];
    assert_eq!(Sample::type_name(), "weather.sample");
    assert_eq!(Sample::layout(), prodcon::item_layout(&fields));
    assert_eq!(
        (Meters::type_name(), Nested::type_name()),
        ("Meters".into(), "Nested".into())
    );
    assert_eq!(
        Nested::layout(),
        prodcon::item_layout(&[("0", 0, 8), ("1", 8, 32), ("2", 40, 8)])
    );
    assert_eq!(<[Sample; 3]>::type_name(), "[weather.sample; 3]");
    assert_eq!(<[Sample; 3]>::layout(), Sample::layout());
    let dir = Dir::new();
    let mut queue = ReadyQueue::<Nested>::create("nested", &dir.options(4)).unwrap();
    let sample = Sample {
        station: 7,
        flags: [1; 4],
        celsius: 21.5,
    };
    let item = Nested(Meters(3.0), [sample; 2], 9);
    queue.put(&item).unwrap();
    assert_eq!(queue.get().unwrap(), item);
}

/// The same name as `Sample`, and fields that drifted apart.
mod drifted {
    #[derive(Debug, Clone, Copy, prodcon::Item)]
    #[repr(C)]
    #[item(name = "weather.sample")]
    pub struct Sample {
        pub flags: [u8; 4],
        pub station: u32,
        pub celsius: f64,
    }
}

#[test]
fn programs_whose_structs_drifted_apart_cannot_attach() {
    let dir = Dir::new();
    let _queue = ReadyQueue::<Sample>::create("q", &dir.options(4)).unwrap();
    let attach = AttachOptions::new().directory(&dir.0);
    let error = ReadyQueue::<drifted::Sample>::attach_with("q", &attach).unwrap_err();
    assert!(
        error.kind() == ErrorKind::Incompatible && error.to_string().contains("layout"),
        "{error}"
    );
    let error = ReadyQueue::<drifted::Sample>::create_or_attach("q", &dir.options(4)).unwrap_err();
    assert_eq!(
        (error.kind(), error.differences()[0].option),
        (ErrorKind::OptionsDiffer, "layout")
    );
}

#[test]
fn every_option_that_differs_is_listed() {
    let dir = Dir::new();
    let _letters = Control::create::<u64>("letters", &dir.options(4)).unwrap();
    let made = Control::create::<u64>("q", &dir.options(64).seats(9)).unwrap();
    // What is not said is not compared: the number of seats.
    ReadyQueue::<u64>::create_or_attach("q", &dir.options(64)).unwrap();
    let options = dir
        .options(1024)
        .lossy(true)
        .at_least_once(true)
        .seats(8)
        .dead_letter("letters", 3);
    let error = ReadyQueue::<u32>::create_or_attach("q", &options).unwrap_err();
    assert_eq!(
        (error.kind(), error.queue()),
        (ErrorKind::OptionsDiffer, Some("q"))
    );
    let options: Vec<_> = error
        .differences()
        .iter()
        .map(|difference| difference.option)
        .collect();
    assert_eq!(
        options,
        [
            "capacity",
            "type",
            "item_size",
            "lossy",
            "at_least_once",
            "dead_letter",
            "seats"
        ]
    );
    let text = error.to_string();
    for difference in error.differences() {
        assert!(
            text.contains(difference.option)
                && text.contains(&difference.wanted)
                && text.contains(&difference.found),
            "{text}"
        );
    }
    assert_eq!(made.stats().unwrap().seats_live, 0, "nothing was attached");
    let _bytes =
        Control::create::<[u8]>("bytes", &dir.options(4).item_size(100).align(64)).unwrap();
    ReadyQueue::<[u8]>::create_or_attach("bytes", &dir.options(4).item_size(100)).unwrap();
    let error =
        ReadyQueue::<[u8]>::create_or_attach("bytes", &dir.options(4).item_size(101).align(8))
            .unwrap_err();
    let options: Vec<_> = error
        .differences()
        .iter()
        .map(|difference| difference.option)
        .collect();
    assert_eq!(options, ["item_size", "align"]);
}

#[test]
fn an_error_is_a_sentence_for_people_and_a_kind_for_programs() {
    let error = ReadyQueue::<u64>::attach("nobody-made-it").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("'nobody-made-it'") && text.contains("create it first"),
        "{text}"
    );
    assert_eq!(format!("{error:?}"), text, "what main prints");
    assert!(format!("{error:#?}").contains("NotFound"), "the structure");
    let boxed: Box<dyn std::error::Error + Send + Sync> = error.into();
    assert_eq!(
        boxed.downcast_ref::<Error>().map(Error::kind),
        Some(ErrorKind::NotFound)
    );
    // An answer that becomes an error keeps its kind.
    let answer = |answer: PutError| Error::from(answer).kind();
    assert_eq!(
        [
            PutError::Full,
            PutError::TimedOut,
            PutError::NotReady,
            PutError::Stopped,
            PutError::Cancelled
        ]
        .map(answer),
        [
            ErrorKind::Full,
            ErrorKind::TimedOut,
            ErrorKind::NotReady,
            ErrorKind::Stopped,
            ErrorKind::Cancelled
        ]
    );
    assert_eq!(Error::from(GetError::Empty).kind(), ErrorKind::Empty);
    assert_eq!(
        "paused"
            .parse::<prodcon::State>()
            .map_err(Error::from)
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidOption
    );
    assert_eq!(size_of::<Result<(), PutError>>(), 16);
    assert!(Error::from(PutError::Full).source().is_none());
}

#[test]
fn refusals_name_a_way_that_works() {
    use prodcon::State::{Started, StopAtQueueEnd, Stopped};
    let dir = Dir::new();
    let control = Control::create::<u64>("q", &dir.options(1)).unwrap();
    for (from, refused) in [(StopAtQueueEnd, Started), (Stopped, StopAtQueueEnd)] {
        control.set_state(from).unwrap();
        control.set_state(from).unwrap(); // the state that it has
        let error = control.set_state(refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StateRefused);
        let way = if from == Stopped { Started } else { Stopped };
        assert!(error.to_string().contains(&way.to_string()), "{error}");
        control.set_state(way).unwrap();
        control.set_state(refused).unwrap();
        control.set_state(Stopped).unwrap();
    }
}

#[test]
fn a_limited_wait_tries_once_whatever_the_time() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<u64>::create("q", &dir.options(1)).unwrap();
    let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    queue.until(past).put(&1).unwrap();
    assert!(matches!(queue.until(past).put(&2), Err(PutError::TimedOut)));
    assert!(matches!(
        queue.within(Duration::ZERO).put(&2),
        Err(PutError::Full)
    ));
    assert!(matches!(
        queue.within(Duration::from_millis(2)).put(&2),
        Err(PutError::TimedOut)
    ));
    assert_eq!(queue.until(past).get().unwrap(), 1);
    assert!(matches!(queue.until(past).get(), Err(GetError::TimedOut)));
    assert!(matches!(
        queue.within(Duration::ZERO).take(),
        Err(GetError::Empty)
    ));
    assert!(matches!(
        queue.within(Duration::from_millis(2)).take_many(3),
        Err(GetError::TimedOut)
    ));
    queue.within(Duration::MAX).put(&3).unwrap();
    let mut place = 0;
    queue.within(Duration::MAX).get_into(&mut place).unwrap();
    assert_eq!(place, 3);
}

#[test]
fn a_refused_commit_keeps_what_was_filled_in() {
    let dir = Dir::new();
    let mut queue = ReadyQueue::<[u8]>::create("q", &dir.options(1).item_size(8)).unwrap();
    let mut other = queue.try_clone().unwrap();
    queue.put(b"first").unwrap();
    let mut block = queue.reserve(8).unwrap();
    block.copy_from_slice(b"second!!");
    block.truncate(6);
    let CommitError {
        error, reservation, ..
    } = block.commit_within(Duration::ZERO).unwrap_err();
    assert!(matches!(error, PutError::Full));
    let refused = reservation
        .commit_within(Duration::from_millis(1))
        .unwrap_err();
    assert!(matches!(refused.error, PutError::TimedOut));
    assert_eq!(other.get().unwrap(), b"first");
    refused.reservation.commit().unwrap();
    assert_eq!(other.get().unwrap(), b"second");
    // An item without bytes is one too.
    queue.reserve(0).unwrap().commit().unwrap();
    assert!(other.get().unwrap().is_empty());
    // `?` works in a function of boxed errors.
    let put = |queue: &mut ReadyQueue<[u8]>| -> Result<(), Box<dyn std::error::Error>> {
        Ok(queue.reserve(3)?.commit()?)
    };
    put(&mut queue).unwrap();
}

#[test]
fn a_large_item_never_passes_over_the_stack() {
    const BYTES: usize = 8 << 20;
    let dir = Dir::new();
    // A thread with little stack: one copy of the item by value would end the program.
    let work = move || {
        let mut queue = ReadyQueue::<[u8; BYTES]>::create("q", &dir.options(1)).unwrap();
        let mut frame = queue.reserve().unwrap();
        frame[BYTES - 1] = 7;
        frame.commit().unwrap();
        let frame = queue.take().unwrap().into_box();
        assert_eq!(frame[BYTES - 1], 7);
        queue.put(&frame).unwrap();
        let mut place = frame;
        place[BYTES - 1] = 0;
        queue.get_into(&mut place).unwrap();
        assert_eq!(place[BYTES - 1], 7);
        queue.force_put(&place).unwrap();
        queue.take().unwrap().copy_into(&mut place);
    };
    std::thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn endpoints_move_between_threads_and_guards_are_shared() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<ReadyQueue<u64>>();
    send::<Delivery<'_, [u8]>>();
    sync::<Delivery<'_, [u8]>>();
    send::<Batch<'_, u64>>();
    sync::<Batch<'_, u64>>();
    send::<Reservation<'_, [u8]>>();
    sync::<Reservation<'_, u64>>();
    send::<Control>();
    sync::<Control>();
    send::<Error>();
    sync::<Error>();
    assert_eq!(size_of::<Delivery<'_, [u8]>>(), size_of::<usize>());
}

#[test]
fn a_mode_with_other_bits_than_permissions_is_refused_and_leaves_nothing() {
    let dir = Dir::new();
    for mode in [660, 0o1000, 0o100_600, u32::MAX] {
        let options = dir.options(4).mode(mode);
        let error = Control::create::<u64>("q", &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{mode:#o}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("{mode:#o}")) && text.contains("octal"),
            "{text}"
        );
        assert!(ReadyQueue::<[u8]>::create_or_attach("q", &options.item_size(8)).is_err());
    }
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0);
    Control::create::<u64>("q", &dir.options(4).mode(0o777)).unwrap();
}

#[test]
fn the_alignment_of_a_named_type_is_checked_and_compared_where_it_is_said() {
    let dir = Dir::new();
    let options = dir.options(4);
    let item = |align| NamedType {
        name: "sample".into(),
        size: 16,
        align,
    };
    let _made = ReadyQueue::create_named("q", &options, item(8)).unwrap();
    for align in [0, 3] {
        let options = options.clone().align(align);
        let item = || item(align as usize);
        for error in [
            ReadyQueue::attach_if("q", &options, Some(item())).err(),
            ReadyQueue::create_or_attach_named("q", &options, item()).err(),
            ReadyQueue::create_named("other", &options, item()).err(),
        ] {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
            assert!(error.to_string().contains("power of two"), "{error}");
        }
    }
    for align in [4, 16] {
        let options = options.clone().align(align);
        let error = ReadyQueue::create_or_attach_named("q", &options, item(align as usize));
        let error = error.unwrap_err();
        let found: Vec<_> = error.differences().iter().map(|it| it.option).collect();
        assert_eq!(
            (error.kind(), found),
            (ErrorKind::OptionsDiffer, vec!["align"])
        );
    }
    ReadyQueue::create_or_attach_named("q", &options, item(8)).unwrap();
    // A type of Rust's has its own, whatever the options say.
    let options = options.align(64);
    ReadyQueue::<u64>::create_or_attach("rust", &options).unwrap();
    ReadyQueue::<u64>::create_or_attach("rust", &options).unwrap();
}
