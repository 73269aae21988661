"""What a scenario is, and the values that several of them send."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from server import Topic

TIME = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
TIME_TEXT = "2024-01-02T03:04:05.678901Z"

#: Data that a careless server changes: each must read back equal.
JSON_DATA: dict[str, Any] = {
    "an object": {"a": 1, "n": None, "deep": {"list": [1, "two", {"three": 3.0}]}},
    "an array": [1, None, [], {}, "x"],
    "a string": "plain",
    "a string in many scripts": 'ü € 日本 😀 "quoted" \\ / \u0000 \u2028',
    "an empty string": "",
    "a number": 12.5,
    "a large integer": 2**63 + 1,
    "a very large integer": 10**30,
    "a small number": 1e-300,
    "zero": 0,
    "false": False,
    "an empty object": {},
    "an empty array": [],
    "keys that look like attributes": {"id": "x", "specversion": "1.0", "data": {"data": 1}},
}


@dataclass(frozen=True)
class Scenario:
    """Fails by an exception. Has its topic for itself."""

    name: str
    run: Callable[[Topic], None]
    #: More words for `foretell topic create`.
    create: tuple[str, ...] = ()
    #: The client sends nothing of the kind over http.
    https_alone: bool = False


def in_an_hour() -> datetime:
    return datetime.now(timezone.utc) + timedelta(hours=1)


def an_hour_ago() -> datetime:
    return datetime.now(timezone.utc) - timedelta(hours=1)
