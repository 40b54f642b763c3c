//! Tokens that end waits, and their exported functions.

use rust::CancelToken;
use std::panic::catch_unwind;

/// A token that ends the waits of the handles that were attached with it. It belongs to the process
/// that made it.
#[derive(Debug)]
pub struct Token(CancelToken);

impl Token {
    /// # Safety
    /// `token` is NULL, or what [`prodcon_token_new`] gave and was not freed.
    pub(crate) unsafe fn read<'a>(token: *const Self) -> Option<&'a CancelToken> {
        // SAFETY: by this function's contract.
        let token = unsafe { token.as_ref() }?;
        Some(&token.0)
    }
}

/// Makes a token that is not cancelled, to be given to handles in `prodcon_attach_options.cancel`.
/// One token may be given to any number of handles.
///
/// - Returns: the token; NULL if there is no memory.
/// - Ownership: yours, to be freed with `prodcon_token_free`.
/// - Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn prodcon_token_new() -> *mut Token {
    let made = catch_unwind(|| Box::into_raw(Box::new(Token(CancelToken::new()))));
    made.unwrap_or(std::ptr::null_mut())
}

/// Cancels a token permanently. Every wait of its handles, under way or later, answers
/// `PRODCON_CANCELLED`. A call that need not wait still works. NULL is fine.
///
/// - Threads: any, also while others wait with it; and any signal handler. It leaves errno alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_token_cancel(token: *const Token) {
    // SAFETY: NULL or a token, by the contract of the C function.
    if let Some(token) = unsafe { Token::read(token) } {
        token.cancel();
    }
}

/// Says whether a token was cancelled. NULL was not.
///
/// - Threads: any, and any signal handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_token_is_cancelled(token: *const Token) -> bool {
    // SAFETY: NULL or a token, by the contract of the C function.
    unsafe { Token::read(token) }.is_some_and(CancelToken::is_cancelled)
}

/// Frees a token. Handles that were attached with it stay attached, and nothing cancels their waits
/// any more. NULL is fine.
///
/// - Ownership: the token is gone. No call may use it afterwards, and none may be using it now.
/// - Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_token_free(token: *mut Token) {
    if !token.is_null() {
        // SAFETY: what prodcon_token_new gave and was not freed, by the contract of the C function.
        drop(unsafe { Box::from_raw(token) });
    }
}
