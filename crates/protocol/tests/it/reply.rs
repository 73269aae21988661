use foretell_protocol::{Face, Reply, error_from_body, retry_after_s, status};
use foretell_types::{Error, ErrorKind, Instant, Timestamp};
use http::StatusCode;
use serde_json::{Value, json};

fn at(text: &str) -> Instant {
    text.parse::<Timestamp>().unwrap().instant()
}

#[test]
fn statuses() {
    for (kind, code, retry) in [
        (ErrorKind::Invalid, 400, false),
        (ErrorKind::TooLarge, 413, false),
        (ErrorKind::Unsupported, 415, false),
        (ErrorKind::Unauthorized, 401, false),
        (ErrorKind::Forbidden, 403, false),
        (ErrorKind::NotFound, 404, false),
        (ErrorKind::Conflict, 409, false),
        (ErrorKind::ConditionFailed, 412, false),
        (ErrorKind::Busy, 503, true),
        (ErrorKind::OverQuota, 429, true),
        (ErrorKind::Full, 503, true),
        (ErrorKind::Unavailable, 503, true),
        (ErrorKind::Fenced, 503, true),
        (ErrorKind::Damaged, 500, false),
        (ErrorKind::Io, 500, false),
        (ErrorKind::NewerFormat, 500, false),
    ] {
        assert_eq!(status(kind).as_u16(), code);
        assert_eq!(retry_after_s(kind).is_some(), retry, "{kind:?}");
    }
}

#[test]
fn what_is_wrong_with_a_body_in_the_words_of_the_service() {
    for (time, shown) in [
        ("2026-01-02T00:04:05Z", "1/2/2026 12:04:05 AM"),
        ("2026-11-22T12:14:15.9Z", "11/22/2026 12:14:15 PM"),
        ("2026-11-22T23:00:00+01:00", "11/22/2026 10:00:00 PM"),
    ] {
        let face = Face::EventGrid {
            request_id: "guid",
            now: at(time),
        };
        let reply = Reply::from_error(&Error::invalid("no such schema"), face);
        let message = format!(
            "no such schema. Report 'guid:0:{shown} (UTC)' to our forums for assistance or raise a support ticket."
        );
        assert_eq!(
            serde_json::from_str::<Value>(&reply.body).unwrap(),
            json!({"error": {"code": "BadRequest", "message": message,
                "details": [{"code": "InputJsonInvalid", "message": message}]}})
        );
        assert_eq!((reply.status.as_u16(), reply.retry_after_s), (400, None));
    }
}

#[test]
fn all_other_errors_are_plain() {
    let face = Face::EventGrid {
        request_id: "guid",
        now: at("2026-01-02T00:04:05Z"),
    };
    let error = Error::new(ErrorKind::TooLarge, "12 bytes");
    let expected = Reply {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        retry_after_s: None,
        body: r#"{"error":{"code":"RequestEntityTooLarge","message":"12 bytes"}}"#.to_owned(),
    };
    assert_eq!(Reply::from_error(&error, face), expected);
    assert_eq!(Reply::from_error(&error, Face::Own), expected);
}

#[test]
fn there_and_back() {
    for face in [
        Face::Own,
        Face::EventGrid {
            request_id: "guid",
            now: at("2026-01-02T00:04:05Z"),
        },
    ] {
        for kind in ErrorKind::ALL {
            let reply = Reply::from_error(&Error::new(kind, "It's wrong."), face);
            let error = error_from_body(reply.status, reply.body.as_bytes());
            assert_eq!((error.kind(), error.message()), (kind, "It's wrong."));
        }
    }
}

#[test]
fn answers_of_others() {
    for (code, body, kind, message) in [
        (
            502,
            "",
            ErrorKind::Unavailable,
            "the server answered 502 Bad Gateway",
        ),
        (
            404,
            " <html> ",
            ErrorKind::NotFound,
            "the server answered 404 Not Found: <html>",
        ),
        (
            413,
            r#"{"error":{"code":"PayloadTooLarge","message":"m"}}"#,
            ErrorKind::TooLarge,
            "m",
        ),
        (
            500,
            "{}",
            ErrorKind::Io,
            "the server answered 500 Internal Server Error: {}",
        ),
        (
            503,
            "x",
            ErrorKind::Unavailable,
            "the server answered 503 Service Unavailable: x",
        ),
        (
            418,
            "x",
            ErrorKind::Invalid,
            "the server answered 418 I'm a teapot: x",
        ),
        (
            505,
            "x",
            ErrorKind::Io,
            "the server answered 505 HTTP Version Not Supported: x",
        ),
    ] {
        let error = error_from_body(StatusCode::from_u16(code).unwrap(), body.as_bytes());
        assert_eq!((error.kind(), error.message()), (kind, message));
    }
}
