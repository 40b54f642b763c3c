//! What a queue can hold: plain types with a name, or bytes.

use super::elements::Elements;
use bytemuck::{AnyBitPattern, NoUninit, Pod};
use std::borrow::Cow;
use std::ptr::NonNull;

/// A plain type that two programs agree on by name.
///
/// Derive it for a struct of plain fields. The derive needs no `unsafe`: it checks when your crate
/// is compiled that the layout is fixed and that there is no padding.
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// #[derive(Clone, Copy, prodcon::Item)]
/// #[repr(C)]
/// #[item(name = "weather.sample")]
/// struct Sample {
///     station: u32,
///     flags: [u8; 4],
///     celsius: f64,
/// }
///
/// # let name = prodcon::bindings::TestName::new();
/// let mut samples = ReadyQueue::<Sample>::create(&name, &QueueOptions::new(16))?;
/// samples.put(&Sample { station: 7, flags: [0; 4], celsius: 21.5 })?;
/// assert_eq!(samples.get()?.celsius, 21.5);
/// # Ok::<(), prodcon::Error>(())
/// ```
///
/// Padding is refused, because its bytes have no value that could be sent:
///
/// ```compile_fail
/// #[derive(Clone, Copy, prodcon::Item)]
/// #[repr(C)]
/// struct Padded {
///     station: u32, // four bytes of padding follow
///     celsius: f64,
/// }
/// # fn main() { let _: Padded; }
/// ```
///
/// Integers, floats and arrays of them are items already. For a type that implements
/// [`bytemuck::Pod`] by itself use [`item!`](crate::item).
pub trait Item: Pod + Send + Sync {
    /// Returns the type's name, as it stands in the queue's header: 1 to 128 bytes.
    ///
    /// ```
    /// use prodcon::Item;
    ///
    /// assert_eq!(<[f32; 3]>::type_name(), "[f32; 3]");
    /// ```
    fn type_name() -> Cow<'static, str>;

    /// Returns a fingerprint of the names, offsets and sizes of the type's fields; 0 is not
    /// compared. Two programs whose structs of one name drifted apart cannot attach to one queue.
    ///
    /// ```
    /// use prodcon::Item;
    ///
    /// assert_eq!(u64::layout(), 0);
    /// ```
    fn layout() -> u64 {
        0
    }
}

/// The fingerprint of a type's fields: FNV-1a (64 bits) over each field's name, a zero byte, and
/// its offset and size as little-endian 64-bit numbers. Part of the format.
///
/// ```
/// let fields = [("station", 0, 4), ("flags", 4, 4), ("celsius", 8, 8)];
/// assert_eq!(prodcon::item_layout(&fields), 0x2a7d_0832_8416_7978);
/// ```
#[doc(hidden)]
pub const fn item_layout(fields: &[(&str, usize, usize)]) -> u64 {
    const fn byte(hash: u64, byte: u8) -> u64 {
        (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
    }
    const fn bytes(mut hash: u64, bytes: &[u8]) -> u64 {
        let mut index = 0;
        while index < bytes.len() {
            hash = byte(hash, bytes[index]);
            index += 1;
        }
        hash
    }
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < fields.len() {
        let (name, offset, size) = fields[index];
        hash = byte(bytes(hash, name.as_bytes()), 0);
        hash = bytes(hash, &(offset as u64).to_le_bytes());
        hash = bytes(hash, &(size as u64).to_le_bytes());
        index += 1;
    }
    // 0 means "not compared".
    if hash == 0 { 1 } else { hash }
}

/// Implements [`Item`] for a [`bytemuck::Pod`] type.
///
/// ```
/// use prodcon::bytemuck::{Pod, Zeroable};
///
/// #[derive(Clone, Copy)]
/// #[repr(transparent)]
/// struct Celsius(f64);
/// // SAFETY: a transparent wrapper of f64.
/// unsafe impl Zeroable for Celsius {}
/// // SAFETY: a transparent wrapper of f64.
/// unsafe impl Pod for Celsius {}
/// prodcon::item!(Celsius, "celsius");
/// ```
#[macro_export]
macro_rules! item {
    ($type:ty, $name:expr) => {
        impl $crate::Item for $type {
            fn type_name() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed($name)
            }
        }
    };
}

macro_rules! items {
    ($($type:ident)*) => { $(item!($type, stringify!($type));)* };
}
items!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64);

impl<T: Item, const N: usize> Item for [T; N]
where
    [T; N]: Pod,
{
    fn type_name() -> Cow<'static, str> {
        format!("[{}; {N}]", T::type_name()).into()
    }
    fn layout() -> u64 {
        T::layout()
    }
}

/// What [`ReadyQueue`](crate::ReadyQueue) can be of: any [`Item`], or `[u8]`. Sealed.
pub trait Payload: sealed::Sealed + Elements {
    /// The type that a copying get returns.
    type Owned: std::borrow::Borrow<Self>;
    /// The type, as it stands in the header; `None` for bytes.
    #[doc(hidden)]
    fn plain() -> Option<Plain>;
    /// Bytes of an item; `None` if they vary.
    #[doc(hidden)]
    const SIZE: Option<usize>;
    /// A copy may be returned by value.
    #[doc(hidden)]
    const FITS_BY_VALUE: bool;
    #[doc(hidden)]
    fn bytes(&self) -> &[u8];
    /// `None` if the bytes are not as long as the type, or not aligned for it.
    #[doc(hidden)]
    fn view(bytes: &[u8]) -> Option<&Self>;
    /// A copy; the bytes are as long as the type.
    #[doc(hidden)]
    fn read(bytes: &[u8]) -> Self::Owned;
    /// A value of this many bytes, filled in place. They are as many as the type has.
    #[doc(hidden)]
    fn filled(len: usize, fill: impl FnOnce(&mut [u8])) -> Self::Owned;
    #[doc(hidden)]
    fn bytes_mut(&mut self) -> &mut [u8];
    /// An item of zeros, never by way of the stack: of `len` bytes if that varies.
    #[doc(hidden)]
    fn zeroed(len: usize) -> Box<Self>;
    /// The item in these bytes, which are as long as the type and aligned for it.
    #[doc(hidden)]
    fn place(bytes: NonNull<[u8]>) -> NonNull<Self>;
}

/// A plain type, as it stands in a queue's header.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Plain {
    pub(super) name: Cow<'static, str>,
    pub(super) size: usize,
    pub(super) align: usize,
    pub(super) layout: u64,
}

mod sealed {
    pub trait Sealed: Send + Sync {}
    impl Sealed for [u8] {}
    impl<T: super::Item> Sealed for T {}
}

/// What the compiler says of a type that is too large for a `get`.
pub(super) const TOO_LARGE: &str = "this item type is too large to be returned by value: use take() and read it in place, or take()?.into_box()";

/// Larger values are not returned by value: two or three of them would fill a thread's stack.
const MAX_BY_VALUE: usize = 65_536;

impl Payload for [u8] {
    type Owned = Vec<u8>;
    const SIZE: Option<usize> = None;
    const FITS_BY_VALUE: bool = true;
    fn plain() -> Option<Plain> {
        None
    }
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        self
    }
    #[inline(always)]
    fn view(bytes: &[u8]) -> Option<&Self> {
        Some(bytes)
    }
    fn read(bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
    fn filled(len: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fill(&mut bytes);
        bytes
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
    fn zeroed(len: usize) -> Box<Self> {
        vec![0; len].into()
    }
    fn place(bytes: NonNull<[u8]>) -> NonNull<Self> {
        bytes
    }
}

impl<T: Item + AnyBitPattern + NoUninit> Payload for T {
    type Owned = T;
    const SIZE: Option<usize> = Some(size_of::<T>());
    const FITS_BY_VALUE: bool = size_of::<T>() <= MAX_BY_VALUE;
    fn plain() -> Option<Plain> {
        Some(Plain {
            name: T::type_name(),
            size: size_of::<T>(),
            align: align_of::<T>(),
            layout: T::layout(),
        })
    }
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }
    #[inline(always)]
    fn view(bytes: &[u8]) -> Option<&Self> {
        bytemuck::try_from_bytes(bytes).ok()
    }
    #[inline(always)]
    fn read(bytes: &[u8]) -> T {
        bytemuck::pod_read_unaligned(bytes)
    }
    fn filled(_: usize, fill: impl FnOnce(&mut [u8])) -> T {
        let mut value = T::zeroed();
        fill(bytemuck::bytes_of_mut(&mut value));
        value
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::bytes_of_mut(self)
    }
    fn zeroed(_: usize) -> Box<Self> {
        bytemuck::zeroed_box()
    }
    fn place(bytes: NonNull<[u8]>) -> NonNull<Self> {
        bytes.cast()
    }
}
