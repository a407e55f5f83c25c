//! The error of the engine: why there is no module, or no answer.
//!
//! Each variant has one [`Code`] ([`Error::code`]), by which callers decide, and a text for people. Texts name the
//! limit or setting that would help. Those that contain words of a guest are cut (see `explain`).
//!
//! | when | variants |
//! |---|---|
//! | the engine or a thread of it starts | `Setup` |
//! | a module is compiled or linked | `TooLarge`, `Module`, `CompileTime`, `CompileEnded`, `Compiler`, `Overloaded` |
//! | an actor is made | `Oversized`, `Directory` |
//! | a call waits for its instance | `Overloaded`, `Deadline`, `Directory` |
//! | a call cannot begin | `UnknownOperation`, `Input`, `Unaddressable`, `Full` |
//! | the guest ends without an answer | `Trap`, `Unanswered`, `Exit`, `Limit`, `Deadline`, `OutOfBounds`, `NotText` |
//! | the guest answers with an error | `Guest`, `Host` |

use std::time::Duration;

use exosuit_core::Code;

/// The errors between bytes and an answer.
///
/// ```
/// use exosuit_core::Code;
/// use exosuit_engine::Error;
///
/// let error = Error::TooLarge { size: 12, max: 8 };
/// assert_eq!(error.code(), Code::InvalidModule);
/// let error = exosuit_core::Error::from(error);
/// assert_eq!(error.detail, "the module has 12 bytes, at most 8 are allowed");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// wasmtime, a thread or the linker cannot be set up.
    #[error("the engine does not start: {0}")]
    Setup(String),
    /// More bytes than the engine takes.
    #[error("the module has {size} bytes, at most {max} are allowed")]
    TooLarge {
        /// How many there are.
        size: usize,
        /// How many there may be.
        max: usize,
    },
    /// Not a module or a component that runs here: not Wasm, not valid, of no known ABI, or it cannot be linked.
    #[error("{0}")]
    Module(String),
    /// The module starts with more than the actor may have.
    #[error(
        "the module starts with {needed} {what}, more than the actor's limit of {limit}: raise the \
         limit or build the module with less"
    )]
    Oversized {
        /// Bytes of memory, or table elements.
        what: &'static str,
        /// The amount that it starts with.
        needed: u64,
        /// The amount that it may have.
        limit: usize,
    },
    /// A directory that was granted does not open.
    #[error("the directory {directory} cannot be granted: {reason}")]
    Directory {
        /// Its path on the host, or its name for the guest.
        directory: String,
        /// The reason, as the system gives it.
        reason: String,
    },
    /// Compiling took too long.
    #[error("compiling the module exceeded the limit of {0:?}")]
    CompileTime(Duration),
    /// The process that compiled the module ended: nearly always since it got no more memory.
    #[error(
        "compiling the module was ended by the system: it may take {0} bytes of memory, and needs \
         more, or the compiler fails on it"
    )]
    CompileEnded(u64),
    /// The thread or the process that compiled the module died.
    #[error("the compiler failed on this module")]
    Compiler,
    /// Every slot of the pool is taken, or the actor's share of them; or too many compiles wait.
    #[error("no instance is free: {0}")]
    Overloaded(String),
    /// The guest stopped itself: `unreachable`, an access outside of its memory, a panic. The text has the reason and
    /// the two innermost functions.
    #[error("{0}")]
    Trap(String),
    /// The guest called an import that nothing here answers.
    #[error("the guest called the import {0}, which nothing here answers")]
    Unanswered(String),
    /// The guest ended itself as a process would, by `exit` of WASI. For programs, a status is an answer instead
    /// (`Guest`, or success).
    #[error("the guest exited with status {0}")]
    Exit(i32),
    /// The instance has the maximum number of resources, so it was not called. It can serve again.
    #[error("{0}")]
    Full(String),
    /// The guest reached one of its limits: on memory, tables, stack, resources of the host, or the size of a message.
    #[error("{0}")]
    Limit(String),
    /// The deadline passed: before the guest was called, or while it computed. A guest that waits is dropped from
    /// outside, by `exosuit_core::bounded`, whose error has the same code.
    #[error("the deadline of the call passed while the guest ran")]
    Deadline,
    /// The guest answered with an error. Its own text is cut to 8 KiB.
    #[error("{0}")]
    Guest(String),
    /// The component exports no such function.
    #[error("{0}")]
    UnknownOperation(String),
    /// The arguments are not those of the function: their number, a type, or a resource that cannot enter.
    #[error("{0}")]
    Input(String),
    /// The payload does not fit a 32-bit guest.
    #[error("{what} has {size} bytes, more than a guest can address")]
    Unaddressable {
        /// Operation or payload.
        what: &'static str,
        /// Its size.
        size: usize,
    },
    /// The guest gave an import a range outside of its memory.
    #[error(
        "{import} was given {what} at {pointer:#x} of {length} bytes, outside of the guest's memory \
         of {memory} bytes"
    )]
    OutOfBounds {
        /// The import.
        import: &'static str,
        /// The argument.
        what: &'static str,
        /// Where it starts.
        pointer: u32,
        /// Its length.
        length: usize,
        /// How much memory there is.
        memory: usize,
    },
    /// The guest gave an import bytes that are not UTF-8 text.
    #[error("{import} was given {what} that is not UTF-8")]
    NotText {
        /// The import.
        import: &'static str,
        /// The argument.
        what: &'static str,
    },
    /// A host call failed, and the guest did not handle the error. Keeps the code of that failure, so that a refusal by
    /// the router reaches the caller as a refusal.
    #[error(transparent)]
    Host(#[from] exosuit_core::Error),
}

impl Error {
    /// Whether the guest answered, or was not even called. Its instance is then as fit as it was before, and may serve
    /// again; after every other error it is dropped, because its memory may be in the middle of something.
    pub(crate) fn is_an_answer(&self) -> bool {
        matches!(self, Self::Guest(_) | Self::Input(_) | Self::Full(_))
    }

    /// The kind, from the fixed set that Elixir and other hosts know.
    ///
    /// ```
    /// use exosuit_core::Code;
    /// use exosuit_engine::Error;
    ///
    /// assert_eq!(Error::Exit(3).code(), Code::Trap);
    /// assert_eq!(Error::Deadline.code(), Code::Deadline);
    /// let refused = exosuit_core::Error::new(Code::Denied, "no link");
    /// assert_eq!(Error::Host(refused).code(), Code::Denied);
    /// ```
    pub fn code(&self) -> Code {
        match self {
            Self::Setup(_) | Self::Compiler => Code::Internal,
            Self::TooLarge { .. }
            | Self::Module(_)
            | Self::CompileTime(_)
            | Self::CompileEnded(_)
            | Self::Oversized { .. } => Code::InvalidModule,
            Self::Directory { .. } => Code::Io,
            Self::Overloaded(_) => Code::Overloaded,
            Self::Trap(_)
            | Self::Unanswered(_)
            | Self::Exit(_)
            | Self::OutOfBounds { .. }
            | Self::NotText { .. } => Code::Trap,
            Self::Limit(_) | Self::Full(_) => Code::Limit,
            Self::Deadline => Code::Deadline,
            Self::Guest(_) => Code::Guest,
            Self::UnknownOperation(_) => Code::UnknownOperation,
            Self::Unaddressable { .. } | Self::Input(_) => Code::InvalidInput,
            Self::Host(error) => error.code,
        }
    }
}

/// An error of a call to the outside keeps its own code: a guest that passes on `overloaded` is `overloaded`.
impl From<Error> for exosuit_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Host(error) => error,
            error => Self::new(error.code(), error.to_string()),
        }
    }
}
