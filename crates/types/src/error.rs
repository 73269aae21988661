use std::fmt;

/// The result of anything that can fail in Foretell.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error; a new kind only where the caller would act differently.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    /// The input is wrong: mend it, then try again.
    Invalid,
    /// The input is larger than a named limit.
    TooLarge,
    /// The body is encoded in a way that isn't understood: encode it otherwise.
    Unsupported,
    /// No valid key, token or signature was given.
    Unauthorized,
    /// The caller is known but may not do this.
    Forbidden,
    /// The thing that was named does not exist.
    NotFound,
    /// Something of that name or identity exists with other content.
    Conflict,
    /// An append condition did not hold: read again, decide again.
    ConditionFailed,
    /// Too much is waiting already: try again later.
    Busy,
    /// The caller is beyond its quota: try again later.
    OverQuota,
    /// The disk is full or below its low-water mark: free space, then try again.
    Full,
    /// Someone else holds or has written the journal: this writer must stop.
    Fenced,
    /// Stored bytes are not what was written; the message names file, offset and positions.
    Damaged,
    /// The data was written by a newer version of Foretell.
    NewerFormat,
    /// The operating system or the network refused.
    Io,
    /// The service is stopping or a part of it has stopped.
    Unavailable,
}

impl ErrorKind {
    /// A stable name for machines, as in `{"error": {"code": …}}`.
    pub fn code(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "BadRequest",
            ErrorKind::TooLarge => "RequestEntityTooLarge",
            ErrorKind::Unsupported => "UnsupportedMediaType",
            ErrorKind::Unauthorized => "Unauthorized",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::NotFound => "NotFound",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::ConditionFailed => "PreconditionFailed",
            ErrorKind::Busy => "ServerBusy",
            ErrorKind::OverQuota => "TooManyRequests",
            ErrorKind::Full => "InsufficientStorage",
            ErrorKind::Fenced => "Fenced",
            ErrorKind::Damaged => "Damaged",
            ErrorKind::NewerFormat => "NewerFormat",
            ErrorKind::Io => "InputOutput",
            ErrorKind::Unavailable => "ServiceUnavailable",
        }
    }

    /// Every kind, so that codes can be read back from the wire.
    pub const ALL: [ErrorKind; 16] = [
        ErrorKind::Invalid,
        ErrorKind::TooLarge,
        ErrorKind::Unsupported,
        ErrorKind::Unauthorized,
        ErrorKind::Forbidden,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::ConditionFailed,
        ErrorKind::Busy,
        ErrorKind::OverQuota,
        ErrorKind::Full,
        ErrorKind::Fenced,
        ErrorKind::Damaged,
        ErrorKind::NewerFormat,
        ErrorKind::Io,
        ErrorKind::Unavailable,
    ];
}

/// A kind, a message (lower case: what was wrong, with which input, what to do) and a source.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<std::sync::Arc<dyn std::error::Error + Send + Sync>>,
    retry_after_s: Option<u32>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            source: None,
            retry_after_s: None,
        }))
    }

    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message)
    }

    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotFound, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unavailable, message)
    }

    /// An operating system error, with what was being done to which file or address.
    pub fn io(doing: impl fmt::Display, source: std::io::Error) -> Error {
        let inner = source.get_ref();
        let known = inner.and_then(|inner| inner.downcast_ref::<Error>());
        let kind = match source.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => ErrorKind::Full,
            // Out of blobs that pass for files.
            _ if known.is_some_and(|error| error.kind() == ErrorKind::Fenced) => ErrorKind::Fenced,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("{doing}: {source}")).with_source(source)
    }

    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.0.source = Some(std::sync::Arc::new(source));
        self
    }

    /// The same error, its message preceded by where it happened.
    #[must_use]
    pub fn context(mut self, place: impl fmt::Display) -> Error {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// The same error, with when it is worth trying again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Error {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// When it is worth trying again, if that is known better than by the kind.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.0.retry_after_s
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}
