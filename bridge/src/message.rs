//! How items stand in a message: headers that anybody can read, and packed items.
//!
//! An item has a number: the position of its put times the most items of a block of its queue, plus
//! its index in the block. A message has items with consecutive numbers. Of a queue whose items all
//! have one size, they lie one after the other; of a queue of bytes each has its length before it,
//! 4 bytes, little-endian. A message with one item is that item and nothing else.

use crate::journal::{Run, Span};
use anyhow::{Result, anyhow, bail};
use async_nats::HeaderMap;
use prodcon::{ItemId, QueueInfo};
use std::ops::Range;

const MESSAGE_ID: &str = "Nats-Msg-Id";
const ID: &str = "Prodcon-Id";
const ITEMS: &str = "Prodcon-Items";
const SIZE: &str = "Prodcon-Item-Size";
const TYPE: &str = "Prodcon-Type";
const LAYOUT: &str = "Prodcon-Layout";
const END: &str = "Prodcon-End";

/// Returns an item's number.
pub fn number(info: &QueueInfo, id: ItemId) -> u64 {
    id.sequence
        .saturating_mul(info.batch.into())
        .saturating_add(id.index.into())
}

/// Returns the headers of a message with items of this queue.
pub fn headers(info: &QueueInfo, span: Span, items: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let queue = info.id;
    headers.insert(MESSAGE_ID, format!("{queue}-{span}.{items}").as_str());
    headers.insert(ID, format!("{queue}-{span}").as_str());
    headers.insert(ITEMS, items.to_string().as_str());
    headers.insert(SIZE, info.item_size.to_string().as_str());
    if !info.type_name.is_empty() {
        headers.insert(TYPE, info.type_name.escape_default().to_string().as_str());
        headers.insert(LAYOUT, format!("{:016x}", info.layout).as_str());
    }
    headers
}

/// Returns the id of a message, by which the server knows it again.
pub fn id(headers: &HeaderMap) -> String {
    headers
        .get(MESSAGE_ID)
        .map_or_else(String::new, |id| id.as_str().to_owned())
}

/// Returns the headers of the message that ends the stream of this queue.
pub fn end(info: &QueueInfo, puts: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, format!("{}-end-{puts}", info.id).as_str());
    headers.insert(END, format!("{}-{puts}", info.id).as_str());
    headers
}

/// Packs items into the body of a message.
pub fn pack<'a>(
    info: &QueueInfo,
    items: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
) -> Vec<u8> {
    let lengths = items.len() > 1 && info.type_name.is_empty();
    let bytes = items.clone().map(|item| item.len() + 4).sum();
    let mut out = Vec::with_capacity(bytes);
    for item in items {
        if lengths {
            out.extend_from_slice(&(item.len() as u32).to_le_bytes());
        }
        out.extend_from_slice(item);
    }
    out
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// Items, and where each lies in the body.
    Items(Run, Vec<Range<usize>>),
    /// The stream of that queue has ended, after that many puts.
    End(String, u64),
}

/// Reads a message for a queue. A message without our headers, as any NATS client publishes it, is
/// one item, which `stranger` identifies.
///
/// # Errors
/// A text that says why the message does not fit the queue.
pub fn read(
    headers: Option<&HeaderMap>,
    body: &[u8],
    into: &QueueInfo,
    queue: &str,
    stranger: impl FnOnce() -> (String, u64),
) -> Result<Content> {
    let header =
        |name: &str| headers.and_then(|headers| headers.get(name).map(|value| value.as_str()));
    let damaged = |name: &str| {
        anyhow!(
            "its header {name} cannot be read: is its sender another version of prodcon-bridge?"
        )
    };
    if let Some(end) = header(END) {
        let (origin, puts) = end.rsplit_once('-').ok_or_else(|| damaged(END))?;
        let puts = puts.parse().map_err(|_| damaged(END))?;
        return Ok(Content::End(origin.into(), puts));
    }
    let Some(id) = header(ID) else {
        let (origin, first) = stranger();
        fits(into, queue, body.len())?;
        let run = Run {
            origin,
            span: Span { first, len: 1 },
            items: 1,
        };
        return Ok(Content::Items(
            run,
            std::iter::once(0..body.len()).collect(),
        ));
    };
    let (origin, span) = id.rsplit_once('-').ok_or_else(|| damaged(ID))?;
    let span: Span = span.parse().map_err(|()| damaged(ID))?;
    let items: u64 = header(ITEMS)
        .and_then(|items| items.parse().ok())
        .filter(|items| (1..=span.len).contains(items))
        .ok_or_else(|| damaged(ITEMS))?;
    let size: u64 = header(SIZE)
        .and_then(|size| size.parse().ok())
        .ok_or_else(|| damaged(SIZE))?;
    let theirs = header(TYPE).unwrap_or_default();
    check_type(into, queue, theirs, size, header(LAYOUT))?;
    let places = places(body, items, theirs.is_empty(), size)?;
    for place in &places {
        fits(into, queue, place.len())?;
    }
    let run = Run {
        origin: origin.into(),
        span,
        items,
    };
    Ok(Content::Items(run, places))
}

fn check_type(
    into: &QueueInfo,
    queue: &str,
    theirs: &str,
    size: u64,
    layout: Option<&str>,
) -> Result<()> {
    let ours = into.type_name.escape_default().to_string();
    let shown = |name: &str| {
        if name.is_empty() {
            "byte strings".to_owned()
        } else {
            format!("'{name}'")
        }
    };
    if !ours.is_empty() && ours != theirs {
        bail!(
            "its items are {}, and queue '{queue}' takes {}: make the queues of one type",
            shown(theirs),
            shown(&ours)
        );
    }
    if !ours.is_empty() && size != into.item_size {
        bail!(
            "its items have {size} bytes, and those of queue '{queue}' {}: make the queues of \
                 one item size",
            into.item_size
        );
    }
    let theirs_layout = layout
        .and_then(|layout| u64::from_str_radix(layout, 16).ok())
        .unwrap_or(0);
    if !ours.is_empty()
        && ![theirs_layout, into.layout].contains(&0)
        && theirs_layout != into.layout
    {
        bail!(
            "the layout of its type '{ours}' is {theirs_layout:016x}, and in queue '{queue}' \
                 {:016x}: build both programs from one definition",
            into.layout
        );
    }
    Ok(())
}

fn fits(into: &QueueInfo, queue: &str, len: usize) -> Result<()> {
    let (len, size) = (len as u64, into.item_size);
    if len > size {
        bail!(
            "it has an item of {len} bytes, and queue '{queue}' takes at most {size}: create the \
                 queue with a larger item size"
        );
    }
    if len != size && !into.type_name.is_empty() {
        bail!("it has an item of {len} bytes, and those of queue '{queue}' have {size}");
    }
    Ok(())
}

/// Returns where the items lie in the body.
fn places(body: &[u8], items: u64, lengths: bool, size: u64) -> Result<Vec<Range<usize>>> {
    let wrong = || {
        anyhow!(
            "its {} bytes are not the {items} items that it says it has",
            body.len()
        )
    };
    if items == 1 {
        return Ok(std::iter::once(0..body.len()).collect());
    }
    let mut out = vec![];
    let mut at = 0;
    for _ in 0..items {
        let len = if lengths {
            let field = body.get(at..at + 4).ok_or_else(wrong)?;
            at += 4;
            u32::from_le_bytes(field.try_into()?) as usize
        } else {
            usize::try_from(size)?
        };
        let end = at
            .checked_add(len)
            .filter(|end| *end <= body.len())
            .ok_or_else(wrong)?;
        out.push(at..end);
        at = end;
    }
    if at != body.len() {
        return Err(wrong());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prodcon::bindings::TestName;
    use prodcon::{Control, QueueOptions};

    fn stranger() -> (String, u64) {
        ("s1".into(), 5)
    }

    fn bytes(name: &TestName, size: usize) -> QueueInfo {
        let options = QueueOptions::new(4).item_size(size);
        Control::create::<[u8]>(name, &options)
            .unwrap()
            .info()
            .clone()
    }

    fn typed<T: prodcon::Item>(name: &TestName) -> QueueInfo {
        Control::create::<T>(name, &QueueOptions::new(4))
            .unwrap()
            .info()
            .clone()
    }

    fn carry(from: &QueueInfo, into: &QueueInfo, items: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
        let len = items.len() as u64;
        let body = pack(from, items.iter().copied());
        let headers = headers(from, Span { first: 7, len }, len);
        match read(Some(&headers), &body, into, "far", stranger)? {
            Content::Items(run, places) => {
                assert_eq!(
                    (run.origin, run.span.first, run.items),
                    (from.id.to_string(), 7, len)
                );
                Ok(places
                    .into_iter()
                    .map(|place| body[place].to_vec())
                    .collect())
            }
            Content::End(..) => panic!("no end was sent"),
        }
    }

    #[test]
    fn what_is_packed_is_what_is_read() {
        let (a, b) = (TestName::new(), TestName::new());
        let (near, far) = (bytes(&a, 16), bytes(&b, 16));
        for items in [
            &[&b"one"[..], b"", b"three"][..],
            &[b""],
            &[b"a single one"],
        ] {
            assert_eq!(carry(&near, &far, items).unwrap(), items);
        }
        let (a, b) = (TestName::new(), TestName::new());
        let (near, far) = (typed::<u64>(&a), typed::<u64>(&b));
        let items: [&[u8]; 2] = [&1u64.to_le_bytes(), &2u64.to_le_bytes()];
        assert_eq!(carry(&near, &far, &items).unwrap(), items);
    }

    #[test]
    fn another_type_size_or_layout_is_refused_with_a_text() {
        let names: [TestName; 5] = std::array::from_fn(|_| TestName::new());
        let (words, long) = (bytes(&names[0], 8), bytes(&names[1], 64));
        let (numbers, floats) = (typed::<u64>(&names[2]), typed::<f64>(&names[3]));
        let refused = |from: &QueueInfo, into: &QueueInfo, item: &[u8]| {
            carry(from, into, &[item]).unwrap_err().to_string()
        };
        let text = refused(&numbers, &floats, &[0; 8]);
        assert!(text.contains("'u64'") && text.contains("'f64'"), "{text}");
        let text = refused(&words, &floats, &[0; 8]);
        assert!(text.contains("byte strings"), "{text}");
        let text = refused(&long, &words, &[0; 9]);
        assert!(
            text.contains("9 bytes") && text.contains("at most 8"),
            "{text}"
        );
        let mut other = typed::<u32>(&names[4]);
        (other.layout, other.type_name, other.item_size) = (1, "u64".into(), 8);
        let mut ours = numbers.clone();
        ours.layout = 2;
        assert!(refused(&other, &ours, &[0; 8]).contains("layout"));
        other.item_size = 4;
        assert!(refused(&other, &ours, &[0; 4]).contains("4 bytes"));
    }

    #[test]
    fn a_message_of_anybody_is_one_item_and_a_damaged_one_is_refused() {
        let name = TestName::new();
        let info = bytes(&name, 8);
        let content = read(None, b"hello", &info, "far", stranger).unwrap();
        let Content::Items(run, places) = content else {
            panic!("no end was sent");
        };
        assert_eq!((run.origin.as_str(), run.span.first), ("s1", 5));
        assert!(places.len() == 1 && places[0] == (0..5));
        let good = headers(&info, Span { first: 0, len: 2 }, 2);
        for body in [
            &b""[..],
            b"\x01\0\0\0a",
            b"\x01\0\0\0a\xff\xff\xff\xffb",
            b"\0\0\0\0\0\0\0\0x",
        ] {
            assert!(
                read(Some(&good), body, &info, "far", stranger).is_err(),
                "{body:?}"
            );
        }
        for (header, value) in [
            (ID, "x"),
            (ID, "q-1"),
            (ITEMS, "0"),
            (ITEMS, "3"),
            (SIZE, "-"),
        ] {
            let mut bad = good.clone();
            bad.insert(header, value);
            let body = b"\x01\0\0\0a\x01\0\0\0b";
            assert!(
                read(Some(&bad), body, &info, "far", stranger).is_err(),
                "{header}"
            );
        }
    }

    #[test]
    fn the_end_of_a_stream_is_a_message_too() {
        let name = TestName::new();
        let info = bytes(&name, 8);
        let content = read(Some(&end(&info, 12)), b"", &info, "far", stranger).unwrap();
        assert_eq!(content, Content::End(info.id.to_string(), 12));
    }
}
