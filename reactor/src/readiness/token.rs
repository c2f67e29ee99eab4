//! What a source is recognised by.

/// What the caller wants to hear when a source is ready: any `usize`, all of whose bits are the caller's.
///
/// Usually an index into the caller's table of connections. Tokens need not be unique.
///
/// ```
/// use reactor::Token;
/// const LISTENER: Token = Token(0);
/// assert_eq!(usize::from(LISTENER), 0);
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub usize);

impl From<Token> for usize {
    fn from(token: Token) -> usize {
        token.0
    }
}
