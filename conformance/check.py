"""Comparing what a topic holds with what was sent."""

from collections import Counter
from datetime import datetime
from typing import Any

from server import Topic

ADDED = ("position", "revision", "recordedtime")


class Wildcard:
    """Stands for a value that a scenario leaves open."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


#: Any value, but it must be there.
ANY: Any = Wildcard("ANY")
#: Any value, or none.
MAYBE: Any = Wildcard("MAYBE")


def reads_back(topic: Topic, expected: list[dict[str, Any]]) -> None:
    """The topic holds exactly these CloudEvents objects, in this order, with right places."""
    found = topic.read()
    assert len(found) == len(expected), f"{len(found)} events, not {len(expected)}: {found}"
    revisions: Counter[str] = Counter()
    for position, (event, wanted) in enumerate(zip(found, expected), 1):
        same(event, wanted)
        assert event["position"] == position, f"position is {event['position']}, not {position}"
        revision = None
        if (subject := event.get("subject")) is not None:
            revision = revisions[subject]
            revisions[subject] += 1
        assert event["revision"] == revision, f"revision is {event['revision']}, not {revision}"
        datetime.fromisoformat(event["recordedtime"].replace("Z", "+00:00")[:19])


def same(event: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The event has the attributes that are wanted, and no others."""
    wanted = {"specversion": "1.0", **wanted}
    differences = []
    for name in sorted(({*event} | {*wanted}) - {*ADDED}):
        is_there = name in event
        value = wanted.get(name)
        if value is MAYBE or (value is ANY and is_there):
            continue
        if not (is_there and name in wanted and equal(event[name], value)):
            shown = repr(event[name]) if is_there else "missing"
            wish = repr(value) if name in wanted else "none"
            differences.append(f"{name}: {shown}, wanted {wish}")
    assert not differences, "; ".join(differences)


def equal(one: Any, other: Any) -> bool:
    """Equal as JSON, where 1 is not 1.0 and not true."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other
