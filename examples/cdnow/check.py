#!/usr/bin/env python3
"""The dataset of examples/cdnow/run, computed once more by pandas alone, out of the purchases as
they were published: check.py OUT.parquet. Needs pandas and pyarrow."""

import gzip
import sys
from pathlib import Path

import pandas as pd

PURCHASES = Path(__file__).resolve().parent.parent / "shop" / "CDNOW_master.txt.gz"
WEEK = pd.Timedelta(weeks=1)


def purchases() -> pd.DataFrame:
    with gzip.open(PURCHASES, "rt") as file:
        names = ["key", "date", "cds", "dollars"]
        rows = pd.read_csv(file, sep=r"\s+", skiprows=1, header=None, names=names, dtype={"key": str})
    rows["date"] = pd.to_datetime(rows["date"], format="%Y%m%d", utc=True)
    return rows


def sums(rows: pd.DataFrame, names: dict[str, tuple[str, str]]) -> pd.DataFrame:
    return rows.groupby("key").agg(**{name: pd.NamedAgg(*of) for name, of in names.items()})


def expected(all_rows: pd.DataFrame, at: pd.Timestamp, frontier: pd.Timestamp) -> pd.DataFrame:
    """One row for each customer who had bought by an instant."""
    before = all_rows[all_rows["date"] <= at]
    made = sums(before, {
        "last": ("date", "max"), "first": ("date", "min"), "frequency": ("date", "size"),
        "monetary": ("dollars", "sum"), "cds": ("cds", "sum"),
    })
    made["recency"] = (at - made.pop("last")) / pd.Timedelta(days=1)
    made["tenure"] = (at - made.pop("first")) / pd.Timedelta(days=1)
    recent = sums(before[before["date"] > at - 12 * WEEK], {
        "frequency_12w": ("date", "size"), "monetary_12w": ("dollars", "sum"),
    })
    until = at + 39 * WEEK
    later = sums(all_rows[(all_rows["date"] > at) & (all_rows["date"] <= until)], {
        "purchases_39w": ("date", "size"), "dollars_39w": ("dollars", "sum"),
    })
    made = made.join(recent).join(later).fillna(0.0)
    if until > frontier:
        made[["purchases_39w", "dollars_39w"]] = float("nan")
    made["label_complete"] = until <= frontier
    return made.assign(time=at).reset_index()


def main(out: str) -> None:
    found, rows = pd.read_parquet(out), purchases()
    frontier = rows["date"].max()
    instants = pd.date_range("1997-01-07", "1998-06-30", freq="7D", tz="UTC")
    wanted = pd.concat([expected(rows, at, frontier) for at in instants], ignore_index=True)
    assert len(found) == len(wanted), (len(found), len(wanted))
    assert (found["key"] == wanted["key"]).all() and (found["time"] == wanted["time"]).all()
    for name in ["recency", "frequency", "monetary", "tenure", "cds", "frequency_12w", "monetary_12w",
                 "purchases_39w", "dollars_39w"]:
        ours, theirs = found[name].astype("float64"), wanted[name].astype("float64")
        assert (ours.isna() == theirs.isna()).all(), name
        # Sums of floats are rounded once here, and at every step by pandas.
        assert ((ours - theirs).abs().fillna(0.0) < 1e-6).all(), name
    assert (found["label_complete"] == wanted["label_complete"]).all()
    parts = found.groupby("key")["split"].nunique()
    assert (parts == 1).all() and set(found["split"]) == {"train", "test"}
    share = (found.drop_duplicates("key")["split"] == "test").mean()
    assert 0.18 < share < 0.22, share
    print(f"{len(found):,} rows of {found['key'].nunique():,} customers are those of pandas; "
          f"{int(found['label_complete'].sum()):,} have a label")


if __name__ == "__main__":
    main(sys.argv[1])
