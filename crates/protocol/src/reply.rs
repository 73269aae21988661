//! The one place where errors become HTTP answers, and where our clients read them back.

use foretell_types::{Error, ErrorKind, Instant, Timestamp};
use http::StatusCode;
use serde_json::{Value, json};

/// Whose form an error has.
#[derive(Clone, Copy, Debug)]
pub enum Face<'a> {
    /// The endpoints of Event Grid: what is wrong with a body stands in `details` too, and the
    /// message ends in the service's own words, with the id and time of the request.
    EventGrid { request_id: &'a str, now: Instant },
    /// All others: `{"error": {"code", "message"}}`.
    Own,
}

/// An answer: status, the seconds of `Retry-After` if it has one, a body of JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub retry_after_s: Option<u32>,
    pub body: String,
}

impl Reply {
    pub fn from_error(error: &Error, face: Face<'_>) -> Reply {
        let code = error.kind().code();
        let body = match face {
            Face::EventGrid { request_id, now } if error.kind() == ErrorKind::Invalid => {
                let message = format!("{} {}", sentence(error.message()), report(request_id, now));
                json!({ "error": {
                    "code": code,
                    "message": message,
                    "details": [{ "code": "InputJsonInvalid", "message": message }],
                }})
            }
            _ => json!({ "error": { "code": code, "message": error.message() } }),
        };
        Reply {
            status: status(error.kind()),
            retry_after_s: error.retry_after_s().or(retry_after_s(error.kind())),
            body: body.to_string(),
        }
    }
}

/// The HTTP status of a kind of error.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::ConditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorKind::OverQuota => StatusCode::TOO_MANY_REQUESTS,
        // The SDKs of Event Grid try again after 503, and not after 507.
        ErrorKind::Busy | ErrorKind::Full | ErrorKind::Unavailable | ErrorKind::Fenced => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::Damaged | ErrorKind::Io | ErrorKind::NewerFormat => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// `Retry-After`, in seconds, of the kinds that pass by themselves or by someone's doing.
pub fn retry_after_s(kind: ErrorKind) -> Option<u32> {
    match kind {
        ErrorKind::Busy | ErrorKind::OverQuota => Some(1),
        ErrorKind::Unavailable | ErrorKind::Fenced => Some(5),
        ErrorKind::Full => Some(60),
        _ => None,
    }
}

/// The error that an answer of ours, or of anything before us, tells.
pub fn error_from_body(status: StatusCode, body: &[u8]) -> Error {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let error = value.as_ref().and_then(|value| value.get("error"));
    let field = |name: &str| error.and_then(|e| e.get(name)).and_then(Value::as_str);
    let kind = field("code")
        .and_then(|code| ErrorKind::ALL.into_iter().find(|kind| kind.code() == code))
        .unwrap_or_else(|| kind_of(status));
    if let Some(message) = field("message") {
        let message = message.split(REPORT).next().unwrap_or(message);
        return Error::new(kind, message.trim_end());
    }
    let shown: String = String::from_utf8_lossy(body).chars().take(200).collect();
    let shown = shown.trim();
    Error::new(
        kind,
        if shown.is_empty() {
            format!("the server answered {status}")
        } else {
            format!("the server answered {status}: {shown}")
        },
    )
}

fn kind_of(code: StatusCode) -> ErrorKind {
    let exact = ErrorKind::ALL
        .into_iter()
        .find(|kind| status(*kind) == code);
    match code {
        StatusCode::INTERNAL_SERVER_ERROR => ErrorKind::Io,
        StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::BAD_GATEWAY
        | StatusCode::GATEWAY_TIMEOUT => ErrorKind::Unavailable,
        other => exact.unwrap_or(if other.is_server_error() {
            ErrorKind::Io
        } else {
            ErrorKind::Invalid
        }),
    }
}

const REPORT: &str = "Report '";

/// `Report '<guid>:<n>:<M/d/yyyy h:mm:ss tt> (UTC)' to our forums …`, as the service ends it.
fn report(request_id: &str, now: Instant) -> String {
    let (year, month, day, hour, minute, second) = Timestamp::from_instant(now).utc_parts();
    let half = if hour < 12 { "AM" } else { "PM" };
    let hour = (hour + 11) % 12 + 1;
    format!(
        "{REPORT}{request_id}:0:{month}/{day}/{year} {hour}:{minute:02}:{second:02} {half} (UTC)' to our forums for assistance or raise a support ticket."
    )
}

/// The message with the full stop that the next sentence needs.
fn sentence(message: &str) -> String {
    let end = if message.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{message}{end}")
}
