//! The systems by name: what each can do and what it promises, and how code that works with any of them is given one.
//!
//! How each is set up, and where its documentation says so, stands at the head of its file. Nothing
//! here knows what is done with a system. The code that does something brings a [`Visitor`].

mod array_queue;
mod cloudtoid;
pub mod descriptors;
mod futex;
mod iceoryx;
mod obvious;
mod prodcon;
mod ringfire;
mod ringfire_pair;
mod shaq;
mod shaq_pair;
mod vyukov;
mod waiting;

use crate::ends::System;

/// Something to do with a system, whichever it is.
pub trait Visitor {
    /// What comes of it.
    type Answer;
    /// Does it.
    fn visit<S: System>(self) -> Self::Answer;
}

/// What a system promises about items when a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Nothing twice, and lost at most what killed consumers had in hand.
    AtMostOnce,
    /// Nothing lost, and twice at most what killed consumers had in hand.
    AtLeastOnce,
    /// It says nothing.
    None,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Prodcon,
    ProdconInPlace,
    ProdconReserve,
    ProdconPolled,
    ProdconAtLeastOnce,
    Vyukov,
    VyukovPolicy,
    Crossbeam,
    Ringfire,
    RingfirePair,
    Shaq,
    ShaqPair,
    Cloudtoid,
    Iceoryx,
    Obvious,
    Pipe,
    Socket,
    Futex,
}

/// What there is to know about a system from outside.
pub struct Entry {
    /// On the command line and in the JSON.
    pub name: &'static str,
    /// In the tables.
    pub title: &'static str,
    /// The crate whose version is told.
    pub package: &'static str,
    /// Can drop the oldest.
    pub lossy: bool,
    /// Drops whatever is asked: no number of it is compared with a lossless one without saying so.
    pub always_lossy: bool,
    /// Every consumer gets every item.
    pub fans_out: bool,
    /// Can wait without polling.
    pub sleeps: bool,
    /// Threads of one process.
    pub threads: bool,
    /// Needs inherited descriptors: a socket (true) or a pipe.
    pub socket: Option<bool>,
    /// Only one item at a time.
    pub single: bool,
    /// Only one producer and one consumer.
    pub pairs: bool,
    /// Between processes, many producers, many consumers: the goals are about these.
    pub rival: bool,
    /// What a reader of the table has to know.
    pub note: &'static str,
    /// Takes part in the comparison of throughput.
    pub races: bool,
    /// What it promises in the comparison of kills, if it takes part there.
    pub kills: Option<Promise>,
    which: Which,
}

const PLAIN: Entry = Entry {
    name: "",
    title: "",
    package: "",
    lossy: false,
    always_lossy: false,
    fans_out: false,
    sleeps: true,
    threads: false,
    socket: None,
    single: false,
    pairs: false,
    rival: false,
    note: "",
    races: true,
    kills: None,
    which: Which::Futex,
};

/// All of them, in the order of the tables. The first is what the others are compared with.
pub const ALL: &[Entry] = &[
    Entry {
        name: "prodcon",
        title: "prodcon",
        package: "prodcon",
        lossy: true,
        note: "blocking `put` and `get_into`, which copy",
        kills: Some(Promise::AtMostOnce),
        which: Which::Prodcon,
        ..PLAIN
    },
    Entry {
        name: "prodcon-in-place",
        title: "prodcon, in place",
        package: "prodcon",
        lossy: true,
        note: "`reserve` .. `commit` and `take`, which do not copy",
        which: Which::ProdconInPlace,
        ..PLAIN
    },
    Entry {
        name: "prodcon-reserve",
        title: "prodcon, put in place",
        package: "prodcon",
        note: "`reserve` .. `commit`, which do not copy, and `get_into`, which does: beside `prodcon` it shows what the copy of a put costs",
        which: Which::ProdconReserve,
        ..PLAIN
    },
    Entry {
        name: "prodcon-polled",
        title: "prodcon, polled",
        package: "prodcon",
        sleeps: false,
        note: "`try_put` and `try_get_into`, which copy, tried again; `pause` and now and then yield",
        which: Which::ProdconPolled,
        ..PLAIN
    },
    Entry {
        name: "prodcon-at-least-once",
        title: "prodcon, at-least-once",
        package: "prodcon",
        note: "in place; what a killed consumer had in hand is delivered again",
        races: false,
        kills: Some(Promise::AtLeastOnce),
        which: Which::ProdconAtLeastOnce,
        ..PLAIN
    },
    Entry {
        name: "vyukov",
        title: "Vyukov ring",
        lossy: true,
        sleeps: false,
        note: "own small implementation, packed cells, not crash-safe; `pause` and now and then yield",
        which: Which::Vyukov,
        ..PLAIN
    },
    Entry {
        name: "vyukov-policy",
        title: "Vyukov ring, prodcon's waiting",
        lossy: true,
        sleeps: false,
        note: "the same ring with prodcon's waiting policy as it first was (it does not try a distance after single successes)",
        which: Which::VyukovPolicy,
        ..PLAIN
    },
    Entry {
        name: "crossbeam",
        title: "crossbeam ArrayQueue, threads",
        package: "crossbeam-queue",
        lossy: true,
        sleeps: false,
        threads: true,
        note: "threads of one process; lossy: `force_push`",
        which: Which::Crossbeam,
        ..PLAIN
    },
    Entry {
        name: "ringfire",
        title: "ringfire MPMC",
        package: "ringfire",
        rival: true,
        lossy: true,
        always_lossy: true,
        note: "always lossy, so each figure stands with the share of items that arrived; order, integrity and no doubles are verified",
        kills: Some(Promise::None),
        which: Which::Ringfire,
        ..PLAIN
    },
    Entry {
        name: "shaq",
        title: "shaq MPMC",
        package: "shaq",
        rival: true,
        note: "in place; 4.4.0 and later do not compile with Rust 1.95 (unstable `isolate_highest_one`), so this is the newest version before",
        kills: Some(Promise::None),
        which: Which::Shaq,
        ..PLAIN
    },
    Entry {
        name: "ringfire-pair",
        title: "ringfire lossless, one to one",
        package: "ringfire",
        pairs: true,
        note: "one producer; its lossless mode",
        which: Which::RingfirePair,
        ..PLAIN
    },
    Entry {
        name: "shaq-pair",
        title: "shaq SPSC, one to one",
        package: "shaq",
        pairs: true,
        note: "in place, one producer and one consumer",
        which: Which::ShaqPair,
        ..PLAIN
    },
    Entry {
        name: "cloudtoid",
        title: "cloudtoid-interprocess",
        package: "cloudtoid-interprocess",
        rival: true,
        note: "polled with `try_recv_into`, where it need not sleep",
        kills: Some(Promise::None),
        which: Which::Cloudtoid,
        ..PLAIN
    },
    Entry {
        name: "iceoryx2",
        title: "iceoryx2",
        package: "iceoryx2",
        rival: true,
        lossy: true,
        fans_out: true,
        note: "in place (loaned samples); every consumer gets every item, and all deliveries are counted",
        which: Which::Iceoryx,
        ..PLAIN
    },
    Entry {
        name: "obvious",
        title: "shared_memory + raw_sync",
        package: "raw_sync",
        note: "mutex and two events, put together in the obvious way",
        kills: Some(Promise::None),
        which: Which::Obvious,
        ..PLAIN
    },
    Entry {
        name: "pipe",
        title: "pipe",
        socket: Some(false),
        note: "as many items as its buffer of at most 1 MiB holds",
        which: Which::Pipe,
        ..PLAIN
    },
    Entry {
        name: "socket",
        title: "Unix socket, SEQPACKET",
        socket: Some(true),
        note: "as many items as the kernel allows",
        which: Which::Socket,
        ..PLAIN
    },
    Entry {
        name: "futex",
        title: "bare futex",
        single: true,
        note: "no queue: a word and a futex, asleep each time; the least that a wake-up costs",
        which: Which::Futex,
        ..PLAIN
    },
];

impl Entry {
    /// Has the visitor do its work with this system.
    pub fn visit<V: Visitor>(&self, visitor: V) -> V::Answer {
        match self.which {
            Which::Prodcon => visitor.visit::<prodcon::Prodcon>(),
            Which::ProdconInPlace => visitor.visit::<prodcon::ProdconInPlace>(),
            Which::ProdconReserve => visitor.visit::<prodcon::ProdconReserve>(),
            Which::ProdconPolled => visitor.visit::<prodcon::ProdconPolled>(),
            Which::ProdconAtLeastOnce => visitor.visit::<prodcon::ProdconAtLeastOnce>(),
            Which::Vyukov => visitor.visit::<vyukov::Vyukov<waiting::Naive>>(),
            Which::VyukovPolicy => visitor.visit::<vyukov::Vyukov<waiting::Policy>>(),
            Which::Crossbeam => visitor.visit::<array_queue::Array>(),
            Which::Ringfire => visitor.visit::<ringfire::Ringfire>(),
            Which::Shaq => visitor.visit::<shaq::Shaq>(),
            Which::RingfirePair => visitor.visit::<ringfire_pair::RingfirePair>(),
            Which::ShaqPair => visitor.visit::<shaq_pair::ShaqPair>(),
            Which::Cloudtoid => visitor.visit::<cloudtoid::Cloudtoid>(),
            Which::Iceoryx => visitor.visit::<iceoryx::Iceoryx>(),
            Which::Obvious => visitor.visit::<obvious::Obvious>(),
            Which::Pipe => visitor.visit::<descriptors::Pipe>(),
            Which::Socket => visitor.visit::<descriptors::Socket>(),
            Which::Futex => visitor.visit::<futex::Futex>(),
        }
    }
}

/// The system of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// The systems whose throughput is compared.
pub fn racing() -> impl Iterator<Item = &'static Entry> {
    ALL.iter().filter(|entry| entry.races)
}

/// The systems whose processes are killed, and what each promises.
pub fn mortal() -> impl Iterator<Item = (&'static Entry, Promise)> {
    ALL.iter().filter_map(|entry| Some((entry, entry.kills?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;
    use crate::ends::{Mood, Rx, Setup, Tx};
    use crate::item;
    use crate::place::Place;

    /// One item from one end to the other.
    struct HandOver(Setup);

    impl Visitor for HandOver {
        type Answer = Outcome<()>;
        fn visit<S: System>(self) -> Outcome<()> {
            let _keep = S::create::<1>(&self.0)?;
            let (mut tx, mut rx) = (S::tx::<1>(&self.0)?, S::rx::<1>(&self.0)?);
            tx.settle()?;
            rx.settle()?;
            tx.put(|item| item::fill(item, item::id(3, 7)))?;
            assert_eq!(rx.get(item::read)?, (item::id(3, 7), true));
            Ok(())
        }
    }

    #[test]
    fn every_system_hands_an_item_over() {
        let place = Place::new("rivals-test").unwrap();
        for entry in ALL {
            let descriptors = entry
                .socket
                .map(|socket| descriptors::make(socket, 8, 8).unwrap());
            let done = entry.visit(HandOver(Setup {
                dir: place.dir(),
                name: format!("{}-{}", place.prefix(), entry.name),
                capacity: 8,
                lossy: false,
                producers: 1,
                consumers: 1,
                mood: Mood::Shared,
                descriptors: descriptors.unwrap_or_default(),
            }));
            descriptors.into_iter().for_each(descriptors::close);
            assert!(done.is_ok(), "{}: {}", entry.name, done.unwrap_err());
        }
    }

    #[test]
    fn every_system_has_a_name_of_its_own() {
        for entry in ALL {
            assert_eq!(
                ALL.iter().filter(|other| other.name == entry.name).count(),
                1,
                "{}",
                entry.name
            );
        }
    }
}
