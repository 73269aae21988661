"""Projections beside DuckDB: random events, late and at one instant, asked at random moments."""

import json
import math
import random
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import requests

from scenarios.scenario import Scenario
from server import Topic

EVENTS = 600
QUESTIONS = 400
KEYS = ["a", "b", "c"]
BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
#: Events lie within so many seconds, so that many share one.
SPAN_S = 120

COLUMNS = {
    "n": ("count(*)", "count(*)"),
    "placed": (
        "count(*) FILTER (WHERE type = 'placed')",
        "count(*) FILTER (WHERE type = 'placed')",
    ),
    "present": ("count(data.x)", "count(x)"),
    "total": ("sum(data.x)", "sum(x)"),
    "recent": (
        "sum(data.x) OVER (RANGE INTERVAL '20 seconds' PRECEDING)",
        "sum(x) FILTER (WHERE time > $at - INTERVAL 20 SECONDS)",
    ),
    "recent_rows": (
        "count(*) OVER (RANGE INTERVAL '20 seconds' PRECEDING)",
        "count(*) FILTER (WHERE time > $at - INTERVAL 20 SECONDS)",
    ),
    "mean": ("avg(data.y)", "avg(y)"),
    "spread": ("stddev(data.y)", "stddev(y)"),
    "recent_spread": (
        "stddev(data.y) OVER (RANGE INTERVAL '30 seconds' PRECEDING)",
        "stddev(y) FILTER (WHERE time > $at - INTERVAL 30 SECONDS)",
    ),
    "least": ("min(data.x)", "min(x)"),
    "most": (
        "max(data.y) OVER (RANGE INTERVAL '20 seconds' PRECEDING)",
        "max(y) FILTER (WHERE time > $at - INTERVAL 20 SECONDS)",
    ),
    "first": (
        "first(data.t)",
        "first(t ORDER BY time, position) FILTER (WHERE t IS NOT NULL)",
    ),
    "last": (
        "last(data.t) FILTER (WHERE data.x > 1)",
        "last(t ORDER BY time, position) FILTER (WHERE t IS NOT NULL AND x > 1)",
    ),
    "kinds": ("count(DISTINCT data.t)", "count(DISTINCT t)"),
    "texts": (
        "collect(data.t)",
        "list(t ORDER BY time, position) FILTER (WHERE t IS NOT NULL)",
    ),
    "cased": (
        "sum(CASE WHEN data.t = 'red' THEN data.x * 2 ELSE 1 END)",
        "sum(CASE WHEN t = 'red' THEN x * 2 ELSE 1 END)",
    ),
    "text": ("max(upper(data.t) || '-' || type)", "max(upper(t) || '-' || type)"),
    "idle": (
        "time_since_last() FILTER (WHERE type = 'placed')",
        "epoch($at) - epoch(max(time) FILTER (WHERE type = 'placed'))",
    ),
}


def time_of(seconds: int) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def event(draw: random.Random, number: int) -> dict[str, Any]:
    data: dict[str, Any] = {"k": draw.choice(KEYS)}
    if draw.random() < 0.8:
        data["x"] = draw.randint(-5, 9)
    if draw.random() < 0.8:
        data["y"] = draw.randint(-40, 40) / 8
    if draw.random() < 0.8:
        data["t"] = draw.choice(["red", "green", "blue", None])
    # Most come in the order of their times, some late.
    at = number * SPAN_S // EVENTS if draw.random() < 0.7 else draw.randrange(SPAN_S)
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": "/test",
        "type": draw.choice(["placed", "paid"]),
        "time": time_of(at).isoformat(),
        "data": data,
    }


def table(events: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(
        "CREATE TABLE events (position BIGINT, k TEXT, time TIMESTAMPTZ, type TEXT,"
        " x BIGINT, y DOUBLE, t TEXT)"
    )
    rows = [
        (
            event["position"],
            event["data"]["k"],
            event["time"],
            event["type"],
            event["data"].get("x"),
            event["data"].get("y"),
            event["data"].get("t"),
        )
        for event in events
    ]
    db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    return db


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)
    return ours == theirs


def says_the_same(topic: Topic) -> None:
    draw = random.Random(20240101)
    sql = ", ".join(f"{ours} AS {name}" for name, (ours, _) in COLUMNS.items())
    with tempfile.TemporaryDirectory() as folder:
        definition = Path(folder) / "beside.sql"
        definition.write_text(f"CREATE PROJECTION beside ON {topic.name} KEY data.k AS SELECT {sql}")
        topic.server.command("projection", "create", "beside", str(definition))
        lines = Path(folder) / "events.jsonl"
        lines.write_text("\n".join(json.dumps(event(draw, n)) for n in range(EVENTS)))
        topic.server.command("publish", topic.name, str(lines))
    db = table(topic.read())
    questions = [
        (draw.choice(KEYS), time_of(draw.randrange(SPAN_S + 40)), draw.randint(1, EVENTS))
        for _ in range(QUESTIONS)
    ]
    answer = requests.post(
        f"{topic.base}/state:batch",
        json={
            "projection": "beside",
            "questions": [
                {"key": key, "at": at.isoformat(), "known_at": str(known)}
                for key, at, known in questions
            ],
        },
        headers={"authorization": f"Bearer {topic.server.command('keys').strip()}"},
        verify=topic.verify,
        timeout=60,
    )
    answer.raise_for_status()
    theirs = ", ".join(f"{their} AS {name}" for name, (_, their) in COLUMNS.items())
    ask = (
        f"SELECT {theirs} FROM events WHERE k = $key AND time <= $at::TIMESTAMPTZ"
        " AND position <= $known"
    ).replace("$at ", "$at::TIMESTAMPTZ ").replace("epoch($at)", "epoch($at::TIMESTAMPTZ)")
    compared = 0
    for (key, at, known), found in zip(questions, answer.json(), strict=True):
        row = db.execute(ask, {"key": key, "at": at.isoformat(), "known": known}).fetchone()
        if found is None:
            continue
        compared += 1
        for name, value in zip(COLUMNS, row, strict=True):
            ours = found["state"][name]
            assert same(ours, value), (key, at, known, name, ours, value)
    assert compared > QUESTIONS // 2, compared


SCENARIOS = [Scenario("projections: DuckDB says the same", says_the_same)]
