//! What to do next about a failure, decided by the layer that knows; only `app` acts on it.

/// What a failure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing happened; try again later.
    Retry,
    /// The act may or may not have happened: look before doing anything else.
    InDoubt,
    /// The input or the request is refused and will be refused again; the rest goes on.
    Reject,
    /// Nothing may go on until a person has looked.
    Stop,
}
