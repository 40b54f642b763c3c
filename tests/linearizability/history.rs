//! What was asked of a queue, what it answered, and when.

use std::fmt;

/// An operation, without what was given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    TryPut,
    WaitPut,
    ForcePut,
    TryGet,
    WaitGet,
    GetBatch,
    TryTake,
    WaitTake,
    TakeBatch,
    Ack,
    Nack,
    Clear,
    SetReady,
    SetNotReady,
    SetState,
    Len,
    IsEmpty,
    IsFull,
    IsReady,
    State,
    /// An endpoint is dropped.
    Close,
    /// A process is killed: from before the signal until it has been waited for.
    Die,
    /// The accounts, when nobody is left: puts, gets, dropped, lost or cleared.
    Figures,
}

impl Kind {
    pub const ALL: [Self; 23] = [
        Self::TryPut,
        Self::WaitPut,
        Self::ForcePut,
        Self::TryGet,
        Self::WaitGet,
        Self::GetBatch,
        Self::TryTake,
        Self::WaitTake,
        Self::TakeBatch,
        Self::Ack,
        Self::Nack,
        Self::Clear,
        Self::SetReady,
        Self::SetNotReady,
        Self::SetState,
        Self::Len,
        Self::IsEmpty,
        Self::IsFull,
        Self::IsReady,
        Self::State,
        Self::Close,
        Self::Die,
        Self::Figures,
    ];

    pub fn puts(self) -> bool {
        matches!(self, Self::TryPut | Self::WaitPut | Self::ForcePut)
    }

    /// Shows items in place, which are then acknowledged or given back.
    pub fn takes(self) -> bool {
        matches!(self, Self::TryTake | Self::WaitTake | Self::TakeBatch)
    }

    pub fn gets(self) -> bool {
        self.takes() || matches!(self, Self::TryGet | Self::WaitGet | Self::GetBatch)
    }

    /// All items of a block at once.
    pub fn whole(self) -> bool {
        matches!(self, Self::GetBatch | Self::TakeBatch)
    }

    pub fn clears(self) -> bool {
        matches!(self, Self::Clear | Self::SetNotReady)
    }

    pub fn observes(self) -> bool {
        matches!(
            self,
            Self::Len | Self::IsEmpty | Self::IsFull | Self::IsReady | Self::State
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Done,
    Full,
    Empty,
    NotReady,
    Stopped,
    Refused,
}

impl Said {
    pub const ALL: [Self; 6] = [
        Self::Done,
        Self::Full,
        Self::Empty,
        Self::NotReady,
        Self::Stopped,
        Self::Refused,
    ];
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub said: Said,
    /// Items, or what was observed.
    pub items: Vec<u64>,
    /// Delivered before.
    pub again: bool,
}

impl Answer {
    pub fn said(said: Said) -> Self {
        Self::with(said, vec![], false)
    }

    pub fn done(items: Vec<u64>) -> Self {
        Self::with(Said::Done, items, false)
    }

    pub fn with(said: Said, items: Vec<u64>, again: bool) -> Self {
        Self { said, items, again }
    }
}

/// One operation. `from` and `to` are nanoseconds before it was called and after it returned; of one
/// that a kill cut off, `to` is when the process was waited for, and there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub process: usize,
    pub kind: Kind,
    pub given: Vec<u64>,
    pub answer: Option<Answer>,
    pub from: u64,
    pub to: u64,
}

impl Operation {
    pub fn overlaps(&self, other: &Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    pub fn said(&self) -> Option<Said> {
        self.answer.as_ref().map(|answer| answer.said)
    }

    pub fn is_done(&self) -> bool {
        self.said() == Some(Said::Done)
    }

    pub fn items(&self) -> &[u64] {
        self.answer.as_ref().map_or(&[], |answer| &answer.items)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            process,
            kind,
            given,
            answer,
            from,
            to,
        } = self;
        write!(f, "{from:>9} .. {to:>9}  process {process}: {kind:?}")?;
        if !given.is_empty() {
            write!(f, " {given:?}")?;
        }
        match answer {
            None => write!(f, " -> cut off"),
            Some(Answer { said, items, again }) => {
                write!(f, " -> {said:?}")?;
                if !items.is_empty() {
                    write!(f, " {items:?}")?;
                }
                if *again { write!(f, " again") } else { Ok(()) }
            }
        }
    }
}

/// What the queue was created as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub capacity: usize,
    pub batch: usize,
    pub lossy: bool,
    pub at_least_once: bool,
    /// Slots have copies of their items, if blocks have one and the processor can do it.
    pub copies: bool,
}

/// All that happened to one queue. The operations of a process are in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub settings: Settings,
    pub operations: Vec<Operation>,
}

impl History {
    /// A line for each operation, by the time of its call, counted from the first.
    pub fn text(&self) -> String {
        let first = self
            .operations
            .iter()
            .map(|operation| operation.from)
            .min()
            .unwrap_or(0);
        let mut operations = self.operations.clone();
        operations.sort_by_key(|operation| operation.from);
        let mut text = format!("{:?}\n", self.settings);
        for operation in &mut operations {
            operation.from -= first;
            operation.to -= first;
            text += &format!("{operation}\n");
        }
        text
    }
}
