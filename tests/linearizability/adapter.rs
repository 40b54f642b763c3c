//! Everything that this test calls of prodcon, in the terms of `history`.

use crate::history::{Answer, Kind, Said, Settings};
use prodcon::{
    AttachOptions, Control, ErrorKind, GetError, PutError, QueueOptions, ReadyQueue, State,
};
use std::path::Path;
use std::time::{Duration, Instant};

const NAME: &str = "q";
/// How long a waiting operation waits.
const WAIT: Duration = Duration::from_micros(300);

/// The queue without a seat: made before the processes, looked at after them.
pub struct Owner(Control);

impl Owner {
    pub fn create(dir: &Path, settings: Settings) -> Self {
        let options = QueueOptions::new(settings.capacity as u32)
            .seats(16)
            .batch(settings.batch as u32);
        let options = options
            .lossy(settings.lossy)
            .at_least_once(settings.at_least_once)
            .copy_in_slot(settings.copies);
        let options = options.attach(AttachOptions::new().directory(dir));
        Self(Control::create::<u64>(NAME, &options).unwrap())
    }

    pub fn attach(dir: &Path) -> Endpoint {
        Endpoint(ReadyQueue::attach_with(NAME, &AttachOptions::new().directory(dir)).unwrap())
    }

    /// Nothing is in anybody's hand, the dead's included.
    pub fn nothing_held(&self) -> bool {
        self.0.recover().unwrap();
        self.0.stats().unwrap().unacked == 0
    }

    /// Puts, gets, dropped, lost or cleared. What was cleared and lies there still counts as gone.
    pub fn figures(&self) -> Vec<u64> {
        let report = self.0.doctor().unwrap();
        assert!(report.ok() && report.undecided == 0, "{report:?}");
        let stats = self.0.stats().unwrap();
        assert!(stats.adds_up() && stats.unacked == 0, "{stats:?}");
        vec![
            stats.puts,
            stats.gets,
            stats.dropped,
            stats.lost + stats.cleared + stats.len,
        ]
    }

    /// Removes it.
    pub fn remove(self) {
        self.0.unlink().unwrap();
    }
}

/// A process's own end of it.
pub struct Endpoint(ReadyQueue<u64>);

impl Endpoint {
    /// Everything but takes and what ends them.
    pub fn perform(&mut self, kind: Kind, given: &[u64]) -> Answer {
        let queue = &mut self.0;
        match kind {
            Kind::TryPut if given.len() > 1 => put(queue
                .within(Duration::ZERO)
                .put_slice(given)
                .map_err(|partial| partial.error)),
            Kind::WaitPut if given.len() > 1 => put(queue
                .within(WAIT)
                .put_slice(given)
                .map_err(|partial| partial.error)),
            Kind::TryPut => put(queue.try_put(&given[0])),
            Kind::WaitPut => put(queue.within(WAIT).put(&given[0])),
            Kind::ForcePut => put(queue.force_put(&given[0])),
            Kind::TryGet => got(queue.try_get().map(|item| vec![item])),
            Kind::WaitGet => got(queue.within(WAIT).get().map(|item| vec![item])),
            Kind::GetBatch => got(queue.within(Duration::ZERO).take_many(usize::MAX).map(all)),
            Kind::Clear => done(queue.clear().is_ok(), vec![]),
            Kind::SetReady => done(queue.set_ready().is_ok(), vec![]),
            Kind::SetNotReady => done(queue.set_not_ready().is_ok(), vec![]),
            Kind::SetState => {
                let to =
                    [State::Stopped, State::Started, State::StopAtQueueEnd][given[0] as usize - 1];
                match queue.control().set_state(to) {
                    Ok(()) => Answer::said(Said::Done),
                    Err(error) if error.kind() == ErrorKind::StateRefused => {
                        Answer::said(Said::Refused)
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            Kind::Len => done(true, vec![queue.len() as u64]),
            Kind::IsEmpty => done(true, vec![queue.is_empty().into()]),
            Kind::IsFull => done(true, vec![queue.is_full().into()]),
            Kind::IsReady => done(true, vec![queue.is_ready().into()]),
            Kind::State => done(true, vec![queue.control().state() as u64]),
            _ => unreachable!("{kind:?} goes another way"),
        }
    }

    /// Takes; `then` records that and says whether to acknowledge (true) or to give back. `Err`: there
    /// was nothing to take.
    pub fn take(
        &mut self,
        kind: Kind,
        then: impl FnOnce(Answer) -> bool,
    ) -> Result<Answer, Answer> {
        let queue = &mut self.0;
        let no = |error| got(Err(error));
        let answer = |items, deliveries| Answer::with(Said::Done, items, deliveries > 1);
        let nacked = if kind == Kind::TakeBatch {
            let taken = queue
                .within(Duration::ZERO)
                .take_many(usize::MAX)
                .map_err(no)?;
            if then(answer(
                taken.iter().copied().collect(),
                taken.delivery_count(0),
            )) {
                taken.ack();
                return Ok(Answer::said(Said::Done));
            }
            taken.nack()
        } else {
            let taken = if kind == Kind::TryTake {
                queue.try_take()
            } else {
                queue.within(WAIT).take()
            };
            let taken = taken.map_err(no)?;
            if then(answer(vec![*taken], taken.delivery_count())) {
                taken.ack();
                return Ok(Answer::said(Said::Done));
            }
            taken.nack()
        };
        Ok(match nacked {
            Ok(()) => Answer::said(Said::Done),
            Err(error) if error.kind() == ErrorKind::AtMostOnce => Answer::said(Said::Refused),
            Err(error) => panic!("{error}"),
        })
    }
}

/// Gets until nothing is there or in anybody's hand. `record` is told before each get, and after
/// those that got something, and the last.
pub fn drain(queue: &mut Endpoint, owner: &Owner, mut record: impl FnMut(Option<Answer>)) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        record(None);
        let answer = queue.perform(Kind::TryGet, &[]);
        if answer.said == Said::Done {
            record(Some(answer));
        } else if owner.nothing_held() {
            return record(Some(answer));
        } else {
            assert!(
                Instant::now() < deadline,
                "an item does not come: {:?}",
                queue.0.control().stats()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The items of one block, acknowledged.
fn all(batch: prodcon::Batch<'_, u64>) -> Vec<u64> {
    let items = batch.iter().copied().collect();
    batch.ack();
    items
}

fn done(well: bool, items: Vec<u64>) -> Answer {
    assert!(well, "a fault");
    Answer::done(items)
}

fn put(result: Result<(), PutError>) -> Answer {
    Answer::said(match result {
        Ok(()) => Said::Done,
        Err(PutError::Full | PutError::TimedOut) => Said::Full,
        Err(PutError::NotReady) => Said::NotReady,
        Err(PutError::Stopped) => Said::Stopped,
        Err(error) => panic!("{error}"),
    })
}

fn got(result: Result<Vec<u64>, GetError>) -> Answer {
    match result {
        Ok(items) => Answer::done(items),
        Err(GetError::Empty | GetError::TimedOut) => Answer::said(Said::Empty),
        Err(GetError::Stopped) => Answer::said(Said::Stopped),
        Err(error) => panic!("{error}"),
    }
}
