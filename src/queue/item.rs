//! What a queue can hold: plain types with a name, or bytes. Callers: everybody.

use bytemuck::{AnyBitPattern, NoUninit, Pod};

/// A plain type that two executables agree on by name. Implement it with [`item!`](crate::item).
pub trait Item: Pod {
    /// What the queue's header says; 1 to 128 bytes.
    fn type_name() -> String;
}

/// Implements [`Item`] for a [`bytemuck::Pod`] type.
///
/// ```
/// #[derive(Clone, Copy)]
/// #[repr(transparent)]
/// struct Celsius(f64);
/// // SAFETY: a transparent wrapper of f64.
/// unsafe impl bytemuck::Zeroable for Celsius {}
/// // SAFETY: a transparent wrapper of f64.
/// unsafe impl bytemuck::Pod for Celsius {}
/// prodcon::item!(Celsius, "celsius");
/// ```
#[macro_export]
macro_rules! item {
    ($type:ty, $name:expr) => {
        impl $crate::Item for $type {
            fn type_name() -> String {
                String::from($name)
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
    fn type_name() -> String {
        format!("[{}; {N}]", T::type_name())
    }
}

/// What [`ReadyQueue`](crate::ReadyQueue) can be of: any [`Item`], or `[u8]`. Sealed.
pub trait Payload: sealed::Sealed {
    /// What `get` returns.
    type Owned: std::borrow::Borrow<Self>;
    /// The type's name and size and alignment in bytes; `None` for bytes.
    #[doc(hidden)]
    fn plain() -> Option<(String, usize, usize)>;
    /// The type's size in bytes; `None` for bytes.
    #[doc(hidden)]
    fn size() -> Option<usize>;
    #[doc(hidden)]
    fn bytes(&self) -> &[u8];
    /// `None` if the bytes are not as long as the type, or not aligned for it.
    #[doc(hidden)]
    fn view(bytes: &[u8]) -> Option<&Self>;
    #[doc(hidden)]
    fn view_mut(bytes: &mut [u8]) -> Option<&mut Self>;
    /// A copy; the bytes are as long as the type.
    #[doc(hidden)]
    fn read(bytes: &[u8]) -> Self::Owned;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for [u8] {}
    impl<T: super::Item> Sealed for T {}
}

impl Payload for [u8] {
    type Owned = Vec<u8>;
    fn plain() -> Option<(String, usize, usize)> {
        None
    }
    #[inline(always)]
    fn size() -> Option<usize> {
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
    fn view_mut(bytes: &mut [u8]) -> Option<&mut Self> {
        Some(bytes)
    }
    fn read(bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
}

impl<T: Item + AnyBitPattern + NoUninit> Payload for T {
    type Owned = T;
    fn plain() -> Option<(String, usize, usize)> {
        Some((T::type_name(), size_of::<T>(), align_of::<T>()))
    }
    #[inline(always)]
    fn size() -> Option<usize> {
        Some(size_of::<T>())
    }
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }
    #[inline(always)]
    fn view(bytes: &[u8]) -> Option<&Self> {
        bytemuck::try_from_bytes(bytes).ok()
    }
    fn view_mut(bytes: &mut [u8]) -> Option<&mut Self> {
        bytemuck::try_from_bytes_mut(bytes).ok()
    }
    #[inline(always)]
    fn read(bytes: &[u8]) -> T {
        bytemuck::pod_read_unaligned(bytes)
    }
}
