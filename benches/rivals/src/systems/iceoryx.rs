//! iceoryx2, publish-subscribe with loaned samples. It has no competing consumers: every subscriber gets every item, so deliveries are counted.
//!
//! Set up as its documentation says (iceoryx2-0.10: src/lib.rs, src/port/publisher.rs, src/port/backpressure_strategy.rs): publishers `loan_uninit`, fill in place and
//! `send`; subscribers `receive` and read in place. Not lossy: `enable_safe_overflow(false)` and `RetryUntilDelivered`; lossy: safe overflow. `receive` does not wait, so we
//! do (`pause`, now and then yield); to sleep, the event pattern beside it: the publisher notifies after each send and the subscriber is in `Listener::blocking_wait`.
//! A directory and a prefix of its own, so that a killed run can be removed.

use crate::Outcome;
use crate::ends::{Keep, Mood, Naive, Rx, Setup, System, Tx};
use iceoryx2::config::Config;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::{event, publish_subscribe};
use std::hint::black_box;

/// iceoryx2.
pub struct Iceoryx;

type Samples<const N: usize> = publish_subscribe::PortFactory<ipc::Service, [u64; N], ()>;
type Events = event::PortFactory<ipc::Service>;

/// The services of one queue, opened or made.
struct Services<const N: usize> {
    samples: Samples<N>,
    events: Option<Events>,
    _node: Node<ipc::Service>,
}

impl<const N: usize> Keep for Services<N> {}

fn open<const N: usize>(setup: &Setup) -> Outcome<Services<N>> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    let root = setup.dir.join("iox");
    config.global.set_root_path(&iceoryx2::prelude::Path::new(
        root.to_string_lossy().as_bytes(),
    )?);
    config.global.prefix = FileName::new(format!("{}_", setup.name).as_bytes())?;
    let node = NodeBuilder::new()
        .config(&config)
        .create::<ipc::Service>()?;
    let samples = node
        .service_builder(&ServiceName::new(&setup.name)?)
        .publish_subscribe::<[u64; N]>()
        .enable_safe_overflow(setup.lossy)
        .subscriber_max_buffer_size(setup.capacity as usize)
        .history_size(0)
        .max_publishers(setup.producers)
        .max_subscribers(setup.consumers)
        .max_nodes(setup.producers + setup.consumers + 2)
        .open_or_create()?;
    let events = match setup.mood {
        Mood::Asleep => Some(
            node.service_builder(&ServiceName::new(&format!("{}-events", setup.name))?)
                .event()
                .open_or_create()?,
        ),
        _ => None,
    };
    Ok(Services {
        samples,
        events,
        _node: node,
    })
}

struct Sender<const N: usize> {
    publisher: Publisher<ipc::Service, [u64; N], ()>,
    notifier: Option<Notifier<ipc::Service>>,
    _services: Services<N>,
}

struct Receiver<const N: usize> {
    subscriber: Subscriber<ipc::Service, [u64; N], ()>,
    listener: Option<Listener<ipc::Service>>,
    _services: Services<N>,
}

impl<const N: usize> Tx<N> for Sender<N> {
    fn settle(&mut self) -> Outcome<()> {
        Ok(self.publisher.update_connections()?)
    }

    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        let mut sample = self.publisher.loan_uninit()?;
        let item = sample.payload_mut();
        // SAFETY: the sample lies in a shared mapping, which is initialised memory, and every pattern is a value of integers.
        fill(unsafe { item.assume_init_mut() });
        // SAFETY: filled above.
        let sample = unsafe { sample.assume_init() };
        sample.send()?;
        if let Some(notifier) = &self.notifier {
            notifier.notify()?;
        }
        Ok(())
    }
}

impl<const N: usize> Rx<N> for Receiver<N> {
    fn settle(&mut self) -> Outcome<()> {
        // Whatever is sent beyond the buffer to a subscriber that has not connected yet is thrown away, `RetryUntilDelivered` or not.
        Ok(self.subscriber.update_connections()?)
    }

    #[inline]
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        let mut naive = Naive::default();
        loop {
            if let Some(sample) = self.subscriber.receive()? {
                return Ok(look(black_box(sample.payload())));
            }
            match &self.listener {
                Some(listener) => drop(listener.blocking_wait(|_| {})?),
                None => naive.wait(),
            }
        }
    }

    fn try_get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<Option<R>> {
        Ok(self
            .subscriber
            .receive()?
            .map(|sample| look(sample.payload())))
    }
}

impl System for Iceoryx {
    const FANS_OUT: bool = true;

    fn create<const N: usize>(setup: &Setup) -> Outcome<Box<dyn Keep>> {
        std::fs::create_dir_all(setup.dir.join("iox"))?;
        Ok(Box::new(open::<N>(setup)?))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        let services = open::<N>(setup)?;
        let strategy = if setup.lossy {
            BackpressureStrategy::DiscardData
        } else {
            BackpressureStrategy::RetryUntilDelivered
        };
        Ok(Sender {
            publisher: services
                .samples
                .publisher_builder()
                .backpressure_strategy(strategy)
                .max_loaned_samples(1)
                .create()?,
            notifier: services
                .events
                .as_ref()
                .map(|events| events.notifier_builder().create())
                .transpose()?,
            _services: services,
        })
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        let services = open::<N>(setup)?;
        Ok(Receiver {
            subscriber: services.samples.subscriber_builder().create()?,
            listener: services
                .events
                .as_ref()
                .map(|events| events.listener_builder().create())
                .transpose()?,
            _services: services,
        })
    }
}
