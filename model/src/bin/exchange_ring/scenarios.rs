//! The scenarios: those that must hold, and each rule switched off, which must fail.

use crate::rules::*;
use crate::state::*;

const ACK: Op = Op::Get(After::Ack);
const NACK: Op = Op::Get(After::Nack);
const KEEP: Op = Op::Get(After::Keep);
const ALL: Op = Op::Get(After::AckAll);
const COPY: Op = Op::Get(After::Copy);
const COPIES: Op = Op::Consume(After::Copy);
const CONSUME: Op = Op::Consume(After::Ack);
const CONSUME_ALL: Op = Op::Consume(After::AckAll);

const fn put(item: u8) -> Op {
    Op::Put([item, 0], false)
}
const fn lossy(item: u8) -> Op {
    Op::Put([item, 0], true)
}
const fn puts(a: u8, b: u8) -> Op {
    Op::Put([a, b], false)
}
const fn lossies(a: u8, b: u8) -> Op {
    Op::Put([a, b], true)
}

/// Settles what the application keeps.
const fn kept(newest: bool, after: After) -> Op {
    Op::Kept { newest, after }
}
const OLDEST: bool = false;
const NEWEST: bool = true;

/// Name, slots, seats, deaths, plans. At-most-once, blocks of one item, ready at first, everybody mortal and due one seat, no recovery in idle gets.
fn once(name: &'static str, n: u8, seats: u8, deaths: u8, plans: &[&[Op]]) -> Scenario {
    Scenario {
        name,
        n,
        seats,
        m: 1,
        mode: Mode::AtMostOnce,
        plans: plans.iter().map(|plan| plan.to_vec()).collect(),
        due: [1; PROCS],
        deaths,
        immortal: 0,
        ready: 1,
        idle_recovery: false,
        max_deliveries: 0,
        letters: 0,
        close_on_last: false,
        flaw: None,
    }
}
fn least(name: &'static str, n: u8, seats: u8, deaths: u8, plans: &[&[Op]]) -> Scenario {
    Scenario { mode: Mode::AtLeastOnce, ..once(name, n, seats, deaths, plans) }
}

impl Scenario {
    /// Process `i` does not die.
    fn immortal(self, i: u8) -> Self {
        Self { immortal: 1 << i, ..self }
    }
    /// Idle gets look for dead seats.
    fn idle(self) -> Self {
        Self { idle_recovery: true, ..self }
    }
    /// Blocks of up to two items.
    fn batch(self) -> Self {
        Self { m: 2, ..self }
    }
    fn letters(self, max_deliveries: u8, letters: u8) -> Self {
        Self { max_deliveries, letters, ..self }
    }
    /// Nobody is there yet: the gate is closed.
    fn close_on_last(self) -> Self {
        let there = (0..self.plans.len()).any(|i| self.is_consumer(i) && self.plans[i][0] != Op::Attach);
        Self { close_on_last: true, ready: there as u8, ..self }
    }
    fn due(self, due: [u8; PROCS]) -> Self {
        Self { due, ..self }
    }
    fn without(self, flaw: Flaw) -> Self {
        Self { flaw: Some(flaw), ..self }
    }
}

/// As many times as there are flaws.
fn each<const N: usize>(of: fn() -> Scenario, flaws: [Flaw; N]) -> impl Iterator<Item = Scenario> {
    flaws.into_iter().map(move |flaw| of().without(flaw))
}

pub fn scenarios() -> Vec<Scenario> {
    let mut all = vec![];
    all.extend(core());
    all.extend(orphans());
    all.extend(copies());
    all.extend(batches());
    all.extend(rests());
    all.extend(several());
    all.extend(letters());
    all.extend(roles());
    all.extend(heavy());
    all
}

/// Blocks of one item, one seat per endpoint: exchange, gate, drain, recovery, seat takeover.
fn core() -> Vec<Scenario> {
    use Op::*;
    vec![
        once("core lossless 2P1C n=1", 1, 3, 0, &[&[put(1), put(2)], &[put(3)], &[ACK, ACK, ACK]]),
        once("core lossy 2P1C n=1", 1, 3, 0, &[&[lossy(1), lossy(2)], &[lossy(3)], &[ACK, ACK]]),
        once("core lossy 2P2C n=2", 2, 4, 0, &[&[lossy(1), lossy(2)], &[lossy(3), lossy(4)], &[ACK, ACK], &[ACK]]),
        once("core gate 1P1C n=2", 2, 3, 0, &[&[put(1), put(2), put(3)], &[ACK, ACK, ACK], &[NotReady, SetReady]]),
        once("core gate 1P1C n=1", 1, 3, 0, &[&[put(1), put(2), put(3)], &[ACK, ACK, ACK], &[NotReady, SetReady]]),
        once("core crash 1P1C+R n=1 d1", 1, 3, 1, &[&[put(1), put(2)], &[ACK, ACK], &[Recover, Recover, put(3), ACK]]),
        once("core crash lossy 2P1C+R n=1 d2", 1, 4, 2, &[&[lossy(1), lossy(2)], &[lossy(3)], &[ACK], &[Recover, lossy(4)]]),
        once("core crash lossy 2P+R n=2 d2", 2, 3, 2, &[&[lossy(1), lossy(2)], &[lossy(3), lossy(4)], &[Recover, Recover, lossy(5), ACK]]),
        once("core crash 1P2C+R n=2 d2", 2, 4, 2, &[&[put(1), put(2)], &[ACK], &[ACK], &[Recover, put(3), Recover]]),
        once("drain against puts n=1", 1, 3, 0, &[&[put(1), put(2)], &[put(3)], &[Clear, Clear]]),
        once("drain against puts n=2 d1", 2, 3, 1, &[&[put(1), put(2)], &[ACK, Recover], &[NotReady, SetReady, Clear]]),
        once("two drains, lossy n=1 d2", 1, 3, 2, &[&[lossy(1), lossy(2)], &[Clear, lossy(3), Recover], &[NotReady, SetReady, Recover]]),
        once("at-most-once take, clear, recover d2", 1, 3, 2, &[&[put(1), put(2)], &[ACK, ACK, Recover], &[Clear, Recover]]),
        once("takeover n=1 d2", 1, 3, 2, &[&[put(1), put(2)], &[ACK, ACK], &[Attach, lossy(3), Close, Attach, ACK]]),
        least("takeover, at-least-once d2", 1, 3, 2, &[&[put(1), put(2)], &[CONSUME], &[Attach, put(3), ACK, Close, Attach, CONSUME]]).idle(),
        once("attach, close, three processes, two seats d2", 2, 2, 2,
            &[&[put(1), Close, Attach, ACK], &[Attach, ACK, Close], &[Attach, lossy(2), Clear, Close]]),
        late(),
        late_full(),
        once("recovery killed while it counts d2", 1, 4, 2, &[&[lossy(1), lossy(2)], &[Recover], &[Recover]]),
        once("recovery killed while it counts d2", 1, 4, 2, &[&[lossy(1), lossy(2)], &[Recover], &[Recover]]).without(Flaw::CountTwice),
        late().without(Flaw::LatePut),
        late_full().without(Flaw::DrainNotEqual),
    ]
}
fn late() -> Scenario {
    once("late put on a lossy ring n=1", 1, 3, 0, &[&[lossy(1)], &[Op::Clear], &[lossy(2)]])
}
fn late_full() -> Scenario {
    once("drain by a slow process n=1", 1, 3, 0, &[&[Op::Clear], &[Op::Clear], &[put(1)]])
}

/// Blocks of one item, one seat per endpoint: hold, acknowledgement, adoption, nack.
fn orphans() -> Vec<Scenario> {
    use Flaw::*;
    use Op::*;
    let mut all = vec![
        word(),
        least("word 1P2C+S n=2 d2", 2, 4, 2, &[&[put(1), put(2)], &[CONSUME], &[CONSUME], &[Supervise]]).immortal(3),
        nacks(),
        nack_full(),
        two_orphans(),
        newcomer(),
        every_seat(),
        polled(),
        least("nack with deaths n=1 d2", 1, 4, 2, &[&[put(1)], &[NACK, ACK], &[CONSUME], &[Supervise]]).immortal(3),
        least("nack, put by the same endpoint d1", 1, 4, 1, &[&[put(1), NACK, put(2)], &[CONSUME], &[CONSUME]]).idle(),
        least("no supervisor, 2C d2", 1, 4, 2, &[&[put(1), put(2)], &[CONSUME], &[CONSUME], &[Attach, CONSUME]]).idle(),
        least("clear against adoption d2", 1, 3, 2, &[&[put(1), Clear, put(2)], &[CONSUME], &[CONSUME]]).idle(),
        least("lossy with adoption n=1 d2", 1, 3, 2, &[&[lossy(1), lossy(2)], &[CONSUME], &[CONSUME]]).idle(),
        least("seat of an orphan reused d2", 1, 3, 2, &[&[put(1), put(2)], &[ACK], &[Attach, lossy(3), CONSUME]]).idle(),
        least("recoverers race an adopter d2", 1, 4, 2, &[&[put(1)], &[ACK], &[Recover, Recover], &[CONSUME]]).idle(),
        least("mortal supervisor d2", 1, 4, 2, &[&[put(1), put(2)], &[CONSUME], &[CONSUME], &[Supervise]]).idle(),
        least("nack against clear d2", 2, 4, 2, &[&[put(1), put(2)], &[NACK, NACK], &[CONSUME], &[Clear]]).idle(),
        least("nack, gate, lossy, both roles d2", 1, 3, 2, &[&[lossy(1), NACK, lossy(2), ACK], &[NotReady, SetReady, lossy(3)], &[CONSUME]]).idle(),
        two_orphans().without(RememberAfterOne),
        newcomer().without(NewcomerCurrent),
        every_seat().without(NoSeatAtOrphans),
        polled().without(NoPolledRecovery),
        nack_full().without(NackUnlockFirst),
        nack_full().without(CloseSilently),
    ];
    all.extend(each(word, [AdoptSettled, RaiseBeforeUnlock, RaiseOnlyNew, SettledBySeq]));
    all
}
fn word() -> Scenario {
    least("word 1P2C+S n=1 d1", 1, 4, 1, &[&[put(1), put(2)], &[CONSUME], &[CONSUME], &[Op::Supervise]]).immortal(3)
}
fn nacks() -> Scenario {
    least("nack 1P2C n=1", 1, 4, 0, &[&[put(1), put(2)], &[NACK, NACK], &[CONSUME]])
}
fn nack_full() -> Scenario {
    least("nack, no other seat n=1", 1, 3, 0, &[&[put(1), put(2)], &[NACK, Op::Close], &[CONSUME]])
}
fn two_orphans() -> Scenario {
    least("two orphans, one consumer d2", 2, 4, 2, &[&[put(1), ACK], &[put(2), ACK], &[CONSUME], &[Op::Supervise]]).immortal(3)
}
fn newcomer() -> Scenario {
    least("newcomer after the announcement d1", 1, 4, 1, &[&[put(1)], &[ACK], &[Op::Attach, CONSUME], &[Op::Supervise]]).immortal(3)
}
fn every_seat() -> Scenario {
    least("every free seat an orphan d2", 2, 3, 2, &[&[put(1), put(2)], &[ACK], &[ACK], &[Op::Attach, CONSUME]]).idle()
}
fn polled() -> Scenario {
    least("no supervisor, idle gets recover d1", 1, 3, 1, &[&[put(1), put(2)], &[CONSUME], &[CONSUME]]).idle()
}

/// Blocks of one item, copied: the record stays announced until the acknowledgement.
fn copies() -> Vec<Scenario> {
    use Op::*;
    vec![
        copied(),
        once("copy crash 1P2C+R n=2 d2", 2, 4, 2, &[&[put(1), put(2)], &[COPY], &[COPY], &[Recover, put(3), Recover]]),
        once("copy, take, clear, recover d2", 1, 3, 2, &[&[put(1), put(2)], &[COPY, ACK, Recover], &[Clear, Recover]]),
        once("copy, takeover n=1 d2", 1, 3, 2, &[&[put(1), put(2)], &[COPY, COPY], &[Attach, lossy(3), Close, Attach, COPY]]),
        once("copy crash lossy 2P1C+R n=1 d2", 1, 4, 2, &[&[lossy(1), lossy(2)], &[lossy(3)], &[COPY, COPY], &[Recover, lossy(4)]]),
        least("copy 1P2C+S n=1 d1", 1, 4, 1, &[&[put(1), put(2)], &[COPIES], &[COPIES], &[Supervise]]).immortal(3),
        least("copy, no supervisor, 2C d2", 1, 4, 2, &[&[put(1), put(2)], &[COPIES], &[CONSUME], &[Attach, COPIES]]).idle(),
        least("copy, clear against adoption d2", 1, 3, 2, &[&[put(1), Clear, put(2)], &[COPIES], &[COPIES]]).idle(),
        least("copy, lossy with adoption n=1 d2", 1, 3, 2, &[&[lossy(1), lossy(2)], &[COPIES], &[COPIES]]).idle(),
        least("copy, nack, gate, lossy, both roles d2", 1, 3, 2, &[&[lossy(1), NACK, lossy(2), COPY], &[NotReady, SetReady, lossy(3)], &[COPIES]]).idle(),
        copied().without(Flaw::CopyRestFirst),
    ]
}
fn copied() -> Scenario {
    once("copy crash 1P1C+R n=1 d1", 1, 3, 1, &[&[put(1), put(2)], &[COPY, COPY], &[Op::Recover, Op::Recover, put(3), COPY]])
}

/// Blocks of up to two items, at-most-once: the counters, with deaths between their stores.
fn batches() -> Vec<Scenario> {
    use Flaw::*;
    use Op::*;
    let mut all = vec![
        once("batch lossless 2P1C n=1", 1, 3, 0, &[&[puts(1, 2), put(3)], &[puts(4, 5)], &[ACK, ALL, ACK, ACK, ALL]]).batch(),
        batch_lossy(),
        once("batch crash 1P1C+R n=1 d2", 1, 3, 2, &[&[puts(1, 2), put(3)], &[ACK, ACK, ACK], &[Recover, Recover, puts(4, 5), ALL]]).batch(),
        batch_gate(),
        once("batch drain, replace 2P n=1 d2", 1, 3, 2, &[&[puts(1, 2), puts(3, 4)], &[Clear, lossy(5), Recover], &[Clear, Recover]]).batch(),
        once("batch lossy, drains, two recoverers n=2 d2", 2, 4, 2, &[&[lossies(1, 2), lossies(3, 4)], &[lossy(5), Recover], &[Clear, Recover, ALL]])
            .batch(),
        batch_take(),
        once("batch takeover n=1 d2", 1, 3, 2, &[&[puts(1, 2)], &[ACK, ACK], &[Attach, lossies(3, 4), Close, Attach, ALL]]).batch(),
        once("batch clear against partial gets d2", 1, 3, 2, &[&[puts(1, 2), put(3)], &[ACK, ACK, Recover], &[Clear, Recover]]).batch(),
        once("batch close with the rest in hand d2", 1, 2, 2, &[&[puts(1, 2), Close, Attach, ALL], &[ACK, Close, Attach, lossies(3, 4), Recover]]).batch(),
    ];
    all.extend(each(batch_lossy, [CountTwice, OneBitSeq, OutgoingLate, OutgoingFromBlock]));
    all.extend(each(batch_take, [LostWhole, AckWhole, BaseLate, PositionLate, SettledByGot, SettledBySeq, SettledByAny]));
    all.extend(each(batch_gate, [RestUnchecked]));
    all
}
fn batch_lossy() -> Scenario {
    once("batch lossy 2P+R n=1 d2", 1, 3, 2, &[&[lossies(1, 2), lossy(3)], &[lossies(4, 5), Op::Recover], &[Op::Recover, Op::Recover, lossies(6, 7)]]).batch()
}
fn batch_take() -> Scenario {
    once("batch take, die, recover 1P2C n=1 d2", 1, 3, 2, &[&[puts(1, 2), put(3), Op::Recover], &[ACK, ALL], &[Op::Recover, Op::Recover, ACK]]).batch()
}
fn batch_gate() -> Scenario {
    once("batch gate 1P1C n=1", 1, 3, 0, &[&[puts(1, 2), puts(3, 4)], &[ACK, ACK, ACK], &[Op::NotReady, Op::SetReady]]).batch()
}

/// Blocks of up to two items, at-least-once: what is left of a block is adopted, given back, cleared.
fn rests() -> Vec<Scenario> {
    use Flaw::*;
    use Op::*;
    let mut all = vec![
        rest(),
        least("rest 1P2C+S n=2 d2", 2, 4, 2, &[&[puts(1, 2), puts(3, 4)], &[CONSUME], &[CONSUME_ALL], &[Supervise]]).batch().immortal(3),
        least("rest, no supervisor d2", 1, 3, 2, &[&[puts(1, 2), puts(3, 4)], &[CONSUME], &[CONSUME]]).batch().idle(),
        least("rest given back n=1 d1", 1, 4, 1, &[&[puts(1, 2), puts(3, 4)], &[ACK, NACK, ACK, NACK], &[CONSUME]]).batch().idle(),
        least("rest given back, no other seat d2", 1, 3, 2, &[&[puts(1, 2)], &[ACK, NACK, ACK, Close], &[CONSUME]]).batch().idle(),
        least("rest against clear d2", 1, 3, 2, &[&[puts(1, 2), Clear, puts(3, 4)], &[CONSUME], &[CONSUME]]).batch().idle(),
        least("rest, two adopters race d2", 1, 4, 2, &[&[puts(1, 2)], &[ACK], &[CONSUME], &[CONSUME_ALL]]).batch().idle(),
        least("rest, lossy, both roles d2", 1, 3, 2, &[&[lossies(1, 2), ACK, lossies(3, 4), ACK], &[Clear, lossy(5)], &[CONSUME]]).batch().idle(),
        least("rest of an orphan taken at attach d2", 1, 2, 2, &[&[puts(1, 2), Close, Attach, CONSUME], &[ACK, NACK, Close, Attach, CONSUME_ALL]])
            .batch().idle(),
    ];
    all.extend(each(rest, [AdoptSettled, AdoptFromStart, SettledBySeq, SettledByAny, BaseLate, AckWhole, RaiseBeforeUnlock]));
    all
}
fn rest() -> Scenario {
    least("rest 1P2C+S n=1 d2", 1, 4, 2, &[&[puts(1, 2)], &[CONSUME], &[CONSUME_ALL], &[Op::Supervise]]).batch().immortal(3)
}

/// Endpoints with several seats: several blocks in hand, one of several given back, spare seats.
fn several() -> Vec<Scenario> {
    use After::*;
    use Flaw::*;
    use Op::*;
    let mut all = vec![
        two_in_hand(),
        one_of_two(),
        spare_used(),
        least("several: put by the same endpoint d1", 1, 5, 1, &[&[put(1), KEEP, put(2), KEEP, kept(NEWEST, Nack), put(3), ACK], &[CONSUME]])
            .due([3, 1, 0, 0]).idle(),
        least("several: two blocks in hand, parts of both d2", 2, 5, 2,
            &[&[puts(1, 2), puts(3, 4)], &[KEEP, KEEP, kept(NEWEST, Ack), kept(OLDEST, Ack), kept(NEWEST, Nack)], &[CONSUME]])
            .batch().due([1, 3, 1, 0]).idle(),
        once("several: at-most-once d2", 2, 5, 2,
            &[&[puts(1, 2), put(3)], &[KEEP, KEEP, kept(NEWEST, Ack), kept(OLDEST, AckAll), Close], &[Recover, Clear, ACK]])
            .batch().due([1, 3, 1, 0]),
        several_attach(),
    ];
    all.extend(each(two_in_hand, [VisitOwn, ExchangeHeld]));
    all.extend(each(spare_used, [NoSpare]));
    all.extend(each(several_attach, [AttachSilently, AttachNeedsFree]));
    all
}
/// Everything in hand is adopted; one endpoint, two items, killed with both.
fn two_in_hand() -> Scenario {
    least("several: two in hand d2", 2, 5, 2, &[&[put(1), put(2)], &[KEEP, Op::Recover, KEEP, kept(OLDEST, After::Ack), ACK], &[CONSUME]])
        .due([1, 3, 1, 0]).idle()
}
fn one_of_two() -> Scenario {
    let plan = [KEEP, KEEP, kept(NEWEST, After::Nack), kept(OLDEST, After::Ack), ACK];
    least("several: one of two given back d2", 2, 5, 2, &[&[put(1), put(2)], &plan, &[CONSUME]]).due([1, 3, 1, 0]).idle()
}
/// An endpoint of two seats has left one as an orphan, and keeps an item in the other: it needs a spare one to put.
fn spare_used() -> Scenario {
    let plan = [put(1), put(2), KEEP, kept(OLDEST, After::Nack), KEEP, put(3), kept(OLDEST, After::Ack)];
    least("several: a spare seat locked lazily d1", 2, 4, 1, &[&plan, &[CONSUME]]).due([2, 1, 0, 0]).idle()
}
/// Two attach for two seats each where three can be had, one of them an orphan's.
fn several_attach() -> Scenario {
    least("several: two attach for two seats each d1", 1, 3, 1, &[&[put(1), ACK], &[Op::Attach, CONSUME], &[Op::Attach, CONSUME], &[Op::Supervise]])
        .due([1, 2, 2, 0]).immortal(3)
}

/// Dead letters: an item that was delivered often enough goes to another queue. With blocks of several items the count has to be bound to what was
/// handed out; the product spares itself that, and has dead letters for blocks of one item only.
fn letters() -> Vec<Scenario> {
    use Flaw::*;
    use Op::*;
    let mut all = vec![
        letter(),
        least("letters: blocks of one item d2", 1, 4, 2, &[&[put(1), put(2)], &[NACK, CONSUME], &[NACK, CONSUME], &[Supervise]]).letters(2, 1).immortal(3),
        least("letters: after two deliveries d2", 1, 4, 2, &[&[puts(1, 2)], &[CONSUME], &[NACK, CONSUME_ALL], &[NACK, CONSUME]]).batch().letters(2, 4).idle(),
        letters_full(),
        least("letters: room for one d2", 1, 4, 2, &[&[puts(1, 2)], &[ALL], &[CONSUME], &[CONSUME_ALL]]).batch().letters(1, 1).idle(),
        letter_rest(),
        letter_stale(),
        letter_mixed(),
        least("letters: nack, no other seat d2", 1, 3, 2, &[&[puts(1, 2)], &[ACK, NACK, ACK, NACK, Close], &[CONSUME]]).batch().letters(2, 4).idle(),
        least("letters: against clear d2", 1, 3, 2, &[&[puts(1, 2), Clear, put(3)], &[NACK, CONSUME], &[CONSUME]]).batch().letters(1, 4).idle(),
        least("letters: several in hand d2", 2, 5, 2, &[&[puts(1, 2), put(3)], &[KEEP, KEEP, kept(NEWEST, After::Nack), kept(OLDEST, After::Ack)], &[CONSUME]])
            .batch().letters(1, 4).due([1, 3, 1, 0]).idle(),
    ];
    all.extend(each(letter, [LetterAckFirst]));
    all.extend(each(letters_full, [LetterDropped, RedeliveredInSeq]));
    all.extend(each(letter_rest, [TriesOfBlock]));
    all.extend(each(letter_stale, [TriesStale]));
    all.extend(each(letter_mixed, [TriesWhole, TriesLast]));
    all
}
fn letter() -> Scenario {
    least("letters: after one delivery d2", 1, 4, 2, &[&[puts(1, 2)], &[CONSUME], &[CONSUME], &[CONSUME_ALL]]).batch().letters(1, 4).idle()
}
/// A get takes one item and leaves the other, which nobody was given, to the next consumer.
fn letter_rest() -> Scenario {
    least("letters: the rest was not handed out d1", 1, 3, 1, &[&[puts(1, 2)], &[ACK, Op::Close], &[CONSUME]]).batch().letters(1, 4).idle()
}
/// The seat of a cleared item takes the next one.
fn letter_stale() -> Scenario {
    least("letters: after a cleared one d1", 1, 3, 1, &[&[put(1), Op::Clear, put(2)], &[NACK, CONSUME], &[CONSUME]]).batch().letters(2, 4).idle()
}
/// One item handed out by itself, then both together.
fn letter_mixed() -> Scenario {
    least("letters: one alone, then both d2", 1, 4, 2, &[&[puts(1, 2)], &[ACK], &[NACK], &[CONSUME]]).batch().letters(2, 4).idle()
}
fn letters_full() -> Scenario {
    least("letters: no room d2", 1, 4, 2, &[&[puts(1, 2)], &[CONSUME], &[CONSUME], &[CONSUME_ALL]]).batch().letters(1, 0).idle()
}

/// `close_on_last`: the first consumer opens the gate, the last one closes it, dead or alive.
fn roles() -> Vec<Scenario> {
    use Flaw::*;
    use Op::*;
    let mut all = vec![
        role_deaths(),
        role_comes_and_goes(),
        role_taken_over(),
        role_nack(),
        role_newcomer(),
        role_left(),
        once("roles: mortal recoverers d2", 1, 4, 2, &[&[put(1)], &[ACK], &[Recover], &[Attach, CONSUME]]).close_on_last().idle(),
        once("roles: close against recovery d2", 1, 4, 2, &[&[ACK, Close], &[Attach, ACK, Close], &[Recover], &[Supervise]]).close_on_last().immortal(3),
        least("roles: two seats each d1", 1, 4, 1, &[&[Attach, KEEP, kept(OLDEST, After::Nack), Close], &[put(1)], &[Attach, CONSUME], &[Supervise]])
            .due([2, 1, 1, 0]).close_on_last().immortal(3),
    ];
    all.extend(each(role_deaths, [RoleUnseen]));
    all.extend(each(role_comes_and_goes, [NoGateLock, RoleFirst, OpenFirst, OpenIfFirst]));
    all.extend(each(role_taken_over, [RoleTakenOver]));
    all.extend(each(role_nack, [RoleOnce]));
    all.extend(each(role_left, [RoleLeft]));
    all
}
fn role_deaths() -> Scenario {
    once("roles: consumers die d2", 1, 4, 2, &[&[put(1), put(2)], &[CONSUME], &[CONSUME], &[Op::Supervise]]).close_on_last().immortal(3)
}
fn role_comes_and_goes() -> Scenario {
    once("roles: consumers come and go d2", 1, 3, 2, &[&[Op::Attach, ACK, Op::Close], &[Op::Attach, ACK, Op::Close], &[Op::Attach, CONSUME], &[Op::Supervise]])
        .close_on_last().due([1, 1, 1, 0]).immortal(3)
}
fn role_taken_over() -> Scenario {
    once("roles: a producer takes a dead consumer's seat d1", 1, 2, 1, &[&[ACK], &[Op::Attach, put(1)], &[Op::Supervise]]).close_on_last().immortal(2)
}
fn role_nack() -> Scenario {
    least("roles: the only consumer gives back d1", 1, 4, 1, &[&[put(1)], &[NACK, CONSUME], &[Op::Recover], &[Op::Supervise]]).close_on_last().immortal(3)
}
fn role_newcomer() -> Scenario {
    least("roles: a newcomer after the last d2", 1, 3, 2, &[&[put(1), put(2)], &[CONSUME], &[Op::Attach, CONSUME], &[Op::Supervise]])
        .close_on_last().due([1, 1, 1, 0]).immortal(3)
}
/// An endpoint of two seats gives back twice; one of its seats is one that it adopted.
fn role_left() -> Scenario {
    let (nack, ack) = (kept(OLDEST, After::Nack), kept(OLDEST, After::Ack));
    let plan = [KEEP, nack, KEEP, ack, KEEP, nack, CONSUME];
    least("roles: gives back from two seats d1", 2, 4, 1, &[&plan, &[put(1), put(2)], &[Op::Supervise]]).due([2, 1, 0, 0]).close_on_last().immortal(2)
}

/// Run by hand, one by one: minutes and gigabytes each.
fn heavy() -> Vec<Scenario> {
    use Op::*;
    let (nack, ack, ack_all) = (kept(NEWEST, After::Nack), kept(OLDEST, After::Ack), kept(OLDEST, After::AckAll));
    vec![
        least("heavy: everything n=2 d2", 2, 4, 2, &[&[lossy(1), lossy(2), Clear], &[NACK, CONSUME], &[put(3), Close, Attach, CONSUME]]).idle(),
        least("heavy: blocks, everything n=2 d2", 2, 4, 2, &[&[lossies(1, 2), puts(3, 4), Clear], &[ACK, NACK, CONSUME], &[put(5), Close, Attach, CONSUME_ALL]])
            .batch().idle(),
        least("heavy: seats, two adopters n=2 d2", 2, 6, 2,
            &[&[puts(1, 2), puts(3, 4)], &[KEEP, KEEP, nack, ack, CONSUME], &[CONSUME], &[KEEP, ack_all, CONSUME]])
            .batch().due([1, 3, 1, 1]).idle(),
        least("heavy: seats, two endpoints keep items d2", 2, 6, 2, &[&[put(1), put(2)], &[KEEP, nack, KEEP, ack], &[KEEP, nack, CONSUME], &[Attach, CONSUME]])
            .due([1, 2, 2, 1]).idle(),
        least("heavy: letters, several in hand d2", 2, 5, 2, &[&[puts(1, 2), put(3)], &[KEEP, KEEP, nack, ack, CONSUME], &[NACK, CONSUME]])
            .batch().letters(2, 2).due([1, 3, 1, 0]).idle(),
        least("heavy: roles, two seats each d2", 1, 5, 2, &[&[Attach, KEEP, nack, Close], &[put(1), put(2)], &[Attach, CONSUME], &[Supervise]])
            .due([2, 1, 2, 0]).close_on_last().immortal(3),
        once("heavy: roles, three consumers come and go d2", 1, 4, 2,
            &[&[Attach, ACK, Close, Attach, ACK], &[Attach, ACK, Close], &[Attach, put(1), Recover], &[Supervise]])
            .close_on_last().due([1, 1, 1, 0]).immortal(3),
    ]
}
