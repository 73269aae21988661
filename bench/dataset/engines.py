"""Features as of label times: what Foretell and its peers make of the same two Parquet files.

    engines.py gen DIR EVENTS ENTITIES LABELS [--ties]
    engines.py run ENGINE DIR [--bin FORETELL]
    engines.py log DIR [--bin FORETELL] [--passes N]

`run` prints one line of JSON: seconds, peak memory in MB, and sums and nulls of every column. `log`
imports the events into a server's log, has their columns extracted, and builds datasets at new
label tables through that server; it prints what that took.

For every label: count and sum of the events of its entity over the last 1, 7 and 30 days,
(t - w, t]; the last amount; microseconds since the last event. Without --ties no event is at the
edge of a window, and no two of an entity at one time. With them many are: of events at one time
the later row is the last.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time

DAY = 86_400_000_000
WINDOWS = [("1d", DAY), ("7d", 7 * DAY), ("30d", 30 * DAY)]
FEATURES = [f"{kind}_{name}" for name, _ in WINDOWS for kind in "ns"] + ["last_amount", "us_since_last"]
PROJECTION = "CREATE PROJECTION features ON events AS SELECT\n" + ",\n".join(
    [
        f"  count(*) OVER (RANGE INTERVAL '{w // DAY} days' PRECEDING) AS n_{name},\n"
        f"  coalesce(sum(amount) OVER (RANGE INTERVAL '{w // DAY} days' PRECEDING), 0) AS s_{name}"
        for name, w in WINDOWS
    ]
    + ["  last(amount) AS last_amount", "  time_since_last('microseconds') AS us_since_last"]
)


def generate(folder, events, entities, labels, ties):
    """180 days; few entities have many events; amounts are log-normal. Events in order of time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(6)
    start, span = 1_700_000_000_000_000, 180 * DAY
    # A tick of an hour: then labels lie on events, and at the very edge of windows.
    tick = DAY // 24 if ties else 2
    times = np.cumsum(random.exponential(1.0, events))
    times = (times / times[-1] * (span // tick - events * (not ties))).astype(np.int64)
    times = (times + (0 if ties else np.arange(events))) * tick
    entity = lambda count: (entities * random.random(count) ** 2).astype(np.int64)
    amounts = np.maximum(1, random.lognormal(3.0, 1.2, events) * 100).astype(np.int64)
    label_times = random.integers(0, span // tick, labels) * tick + (0 if ties else 1)
    os.makedirs(folder, exist_ok=True)
    pq.write_table(
        pa.table({"entity": entity(events), "ts": times + start, "amount": amounts}),
        f"{folder}/events.parquet", compression="zstd", row_group_size=1 << 20,
    )
    pq.write_table(
        pa.table({"label_id": np.arange(labels), "entity": entity(labels), "ts": label_times + start}),
        f"{folder}/labels.parquet", compression="zstd",
    )
    with open(f"{folder}/features.sql", "w") as file:
        file.write(PROJECTION)


def foretell(a):
    command = [a.bin, "dataset", "build", "--events", f"{a.dir}/events.parquet", "--key", "entity", "--time", "ts",
               "--labels", a.labels, "--projection", f"{a.dir}/features.sql", "--out", a.out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def duckdb_window(a):
    """Windows of ranges over events and labels together. Also right where times are equal."""
    import duckdb

    over = "partition by entity order by ts"
    frame = lambda w: f"over ({over} range between {w - 1} preceding and current row)"
    features = ", ".join(
        f"count(amount) {frame(w)} n_{n}, coalesce(sum(amount) {frame(w)}, 0)::bigint s_{n}" for n, w in WINDOWS
    )
    last = f"over ({over}, row rows between unbounded preceding and current row)"
    duckdb.execute("set threads=2; set preserve_insertion_order=false")
    duckdb.execute(f"""copy (select label_id, {", ".join(FEATURES)} from (
        select label_id, {features}, last_value(amount ignore nulls) {last} last_amount,
               ts - last_value(event_ts ignore nulls) {last} us_since_last
        from (select entity, ts, amount, ts event_ts, null::bigint label_id, file_row_number as row
              from read_parquet('{a.dir}/events.parquet', file_row_number=true)
              union all select entity, ts, null, null, label_id, 9223372036854775807 from '{a.dir}/labels.parquet')
        ) where label_id is not null) to '{a.out}' (format parquet)""")


def duckdb_asof(a):
    """Running totals, and an ASOF join for each edge of a window."""
    import duckdb

    joins = " ".join(
        f"asof left join totals w{n} on l.entity = w{n}.entity and l.ts - {w} >= w{n}.ts" for n, w in WINDOWS
    )
    features = ", ".join(
        f"coalesce(h.n, 0) - coalesce(w{n}.n, 0) n_{n}, coalesce(h.s, 0) - coalesce(w{n}.s, 0) s_{n}" for n, _ in WINDOWS
    )
    duckdb.execute("set threads=2; set preserve_insertion_order=false")
    duckdb.execute(f"""create temp table totals as select entity, ts, amount, row_number() over w n,
        (sum(amount) over w)::bigint s from '{a.dir}/events.parquet'
        window w as (partition by entity order by ts rows unbounded preceding)""")
    duckdb.execute(f"""copy (select l.label_id, {features}, h.amount last_amount, l.ts - h.ts us_since_last
        from '{a.dir}/labels.parquet' l asof left join totals h on l.entity = h.entity and l.ts >= h.ts {joins})
        to '{a.out}' (format parquet)""")


def polars(a):
    """Running totals, and a join_asof for each edge of a window."""
    import polars as pl

    total = pl.read_parquet(f"{a.dir}/events.parquet").set_sorted("ts").with_columns(
        n=pl.col("amount").cum_count().over("entity").cast(pl.Int64), s=pl.col("amount").cum_sum().over("entity"),
        event_ts=pl.col("ts"),
    )
    join = lambda rows, columns: rows.join_asof(
        total.select("entity", "ts", *columns), on="ts", by="entity", strategy="backward", check_sortedness=False
    )
    out = join(pl.read_parquet(f"{a.dir}/labels.parquet").sort("ts"), ["n", "s", "amount", "event_ts"])
    columns = {"last_amount": out["amount"], "us_since_last": out["ts"] - out["event_ts"]}
    for name, w in WINDOWS:
        edge = join(out.select("entity", ts=pl.col("ts") - w).set_sorted("ts"), ["n", "s"])
        for kind in "ns":
            columns[f"{kind}_{name}"] = out[kind].fill_null(0) - edge[kind].fill_null(0)
    out.select("label_id").with_columns(**columns).write_parquet(a.out)


def pandas(a):
    """Running totals, and a merge_asof for each edge of a window."""
    import pandas as pd

    events = pd.read_parquet(f"{a.dir}/events.parquet")
    groups = events.groupby("entity", sort=False)["amount"]
    events["n"], events["s"], events["event_ts"] = groups.cumcount() + 1, groups.cumsum(), events["ts"]
    out = pd.merge_asof(pd.read_parquet(f"{a.dir}/labels.parquet").sort_values("ts"), events, on="ts", by="entity")
    columns = {"label_id": out["label_id"], "last_amount": out["amount"].astype("Int64"),
               "us_since_last": (out["ts"] - out["event_ts"]).astype("Int64")}
    for name, w in WINDOWS:
        edge = pd.merge_asof(out[["entity"]].assign(ts=out["ts"] - w), events[["entity", "ts", "n", "s"]], on="ts", by="entity")
        for kind in "ns":
            columns[f"{kind}_{name}"] = out[kind].fillna(0).astype("int64") - edge[kind].fillna(0).astype("int64")
    pd.DataFrame(columns).to_parquet(a.out, index=False)


def chdb(a):
    """Running totals in memory, and ASOF joins."""
    from chdb import session

    files = os.path.abspath(a.dir)
    query = session.Session().query
    query("create database d")
    query(f"""create table d.totals engine = Memory as select entity, ts, amount, row_number() over w n, sum(amount) over w s
        from file('{files}/events.parquet', Parquet)
        window w as (partition by entity order by ts rows between unbounded preceding and current row)""")
    joins = " ".join(
        f"asof left join d.totals w{n} on l.entity = w{n}.entity and l.t{n} >= w{n}.ts" for n, _ in WINDOWS
    )
    edges = ", ".join(f"ts - {w} t{n}" for n, w in WINDOWS)
    features = ", ".join(
        f"toInt64(ifNull(h.{kind}, 0)) - toInt64(ifNull(w{n}.{kind}, 0)) {kind}_{n}" for n, _ in WINDOWS for kind in "ns"
    )
    query(f"""insert into function file('{os.path.abspath(a.out)}', Parquet) select l.label_id label_id, {features},
        nullIf(h.amount, 0) last_amount, if(h.ts = 0, null, l.ts - h.ts) us_since_last
        from (select *, {edges} from file('{files}/labels.parquet', Parquet)) l
        asof left join d.totals h on l.entity = h.entity and l.ts >= h.ts {joins}
        settings engine_file_truncate_on_insert = 1, join_use_nulls = 0, max_threads = 2""")


def datafusion(a):
    """Windows of ranges over events and labels together."""
    import datafusion as df

    context = df.SessionContext(df.SessionConfig().with_target_partitions(2))
    context.register_parquet("events", f"{a.dir}/events.parquet")
    context.register_parquet("labels", f"{a.dir}/labels.parquet")
    over = "partition by entity order by ts"
    frame = lambda w: f"over ({over} range between {w - 1} preceding and current row)"
    features = ", ".join(
        f"count(amount) {frame(w)} n_{n}, coalesce(sum(amount) {frame(w)}, 0) s_{n}" for n, w in WINDOWS
    )
    last = f"over ({over} rows between unbounded preceding and current row)"
    context.sql(f"""select label_id, {", ".join(FEATURES)} from (
        select label_id, {features}, last_value(amount) ignore nulls {last} last_amount,
               ts - last_value(event_ts) ignore nulls {last} us_since_last
        from (select entity, ts, amount, ts event_ts, cast(null as bigint) label_id from events
              union all select entity, ts, cast(null as bigint), cast(null as bigint), label_id from labels)
        ) where label_id is not null""").write_parquet(a.out)


def feast(a):
    """The last value alone: Feast's offline store joins, and computes no windows."""
    import pathlib
    import tempfile
    from datetime import timedelta

    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource
    from feast.types import Int64
    from feast.value_type import ValueType

    stamped = lambda table, name: table.assign(**{name: pd.to_datetime(table["ts"], unit="us", utc=True)})
    folder = pathlib.Path(tempfile.mkdtemp(dir=a.dir))
    try:
        events = pd.read_parquet(f"{a.dir}/events.parquet")
        stamped(events, "at").rename(columns={"ts": "event_ts"}).to_parquet(folder / "events.parquet", index=False)
        del events
        (folder / "feature_store.yaml").write_text(
            f"project: p\nregistry: {folder}/r.db\nprovider: local\noffline_store:\n    type: dask\n"
            f"online_store:\n    type: sqlite\n    path: {folder}/o.db\nentity_key_serialization_version: 3\n"
        )
        store = FeatureStore(repo_path=str(folder))
        entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.INT64)
        source = FileSource(name="events", path=str(folder / "events.parquet"), timestamp_field="at")
        fields = [Field(name=name, dtype=Int64) for name in ["amount", "event_ts"]]
        view = FeatureView(name="last", entities=[entity], ttl=timedelta(days=3650), schema=fields, source=source)
        store.apply([entity, view])
        labels = stamped(pd.read_parquet(f"{a.dir}/labels.parquet"), "event_timestamp")
        out = store.get_historical_features(entity_df=labels, features=["last:amount", "last:event_ts"]).to_df()
        pd.DataFrame({
            "label_id": out["label_id"], "last_amount": out["amount"].astype("Int64"),
            "us_since_last": (out["ts"] - out["event_ts"]).astype("Int64"),
        }).to_parquet(a.out, index=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


ENGINES = [foretell, polars, duckdb_asof, duckdb_window, pandas, chdb, datafusion, feast]


def log(a):
    """Datasets out of a log that a server holds, at label tables that it has never seen."""
    folder = tempfile.mkdtemp(prefix="foretell-bench-log-", dir=a.dir)
    data, out = f"{folder}/data", f"{folder}/out.parquet"
    text = lambda *words: subprocess.run([a.bin, "--data", data, *words], check=True, stdout=subprocess.PIPE, text=True).stdout
    server = None
    try:
        told = {"import_seconds": import_events(a, folder, text)}
        command = [a.bin, "--data", data, "serve", "--listen", "127.0.0.1:0", "--json"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        server.stdout.readline()
        define(folder, text)
        while not json.loads(text("projection", "show", "features", "--json"))["status"]["complete"]:
            time.sleep(0.5)
        start = time.perf_counter()
        shown = json.loads(text("dataset", "show", "training", "--json"))
        told |= {"extract_seconds": time.perf_counter() - start, "columns_bytes": shown["columns_bytes"], "seconds": []}
        for n in range(a.passes):
            a.labels = f"{folder}/labels-{n}.parquet"
            new_labels(a, n)
            start = time.perf_counter()
            text("dataset", "build", "training", "--labels", a.labels, "--out", out)
            told["seconds"].append(time.perf_counter() - start)
            a.out = f"{folder}/of-tables.parquet"
            foretell(a)
            ours, theirs = sums(out), sums(a.out)
            if ours != theirs:
                raise SystemExit(f"out of the log {ours}, out of tables {theirs}")
            told["rows"] = ours["rows"]
        with open(f"/proc/{server.pid}/status") as status:
            told["peak_mb"] = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
        print(json.dumps(told))
    finally:
        if server:
            server.send_signal(signal.SIGTERM)
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def import_events(a, folder, text):
    """The entity becomes the subject, the rest stays as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.parquet as pq

    events = pq.read_table(f"{a.dir}/events.parquet")
    seconds = pc.divide(events["ts"], 1_000_000)
    micros = pc.subtract(events["ts"], pc.multiply(seconds, 1_000_000))
    micros = pc.utf8_lpad(micros.cast(pa.string()), 6, "0")
    times = pc.binary_join_element_wise(seconds.cast(pa.string()), micros, ".")
    pyarrow.csv.write_csv(events.set_column(1, "ts", times), f"{folder}/events.csv")
    text("topic", "create", "events")
    start = time.perf_counter()
    text("import", "events", f"{folder}/events.csv", "--subject", "entity", "--type-value", "paid",
         "--time", "ts", "--time-format", "epoch")
    os.remove(f"{folder}/events.csv")
    return time.perf_counter() - start


def define(folder, text):
    with open(f"{folder}/features.sql", "w") as file:
        file.write(PROJECTION.replace("amount", "data.amount").replace("last_data.amount", "last_amount"))
    with open(f"{folder}/training.sql", "w") as file:
        file.write("CREATE DATASET training ON features AT ROWS KEY entity TIME ts")
    text("projection", "create", "features", f"{folder}/features.sql")
    text("dataset", "create", "training", f"{folder}/training.sql")


def new_labels(a, seed):
    """Other rows of the same kind."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(1_000 + seed)
    known = pq.read_table(f"{a.dir}/labels.parquet")
    count = known.num_rows
    spread = lambda name: (int(known[name].to_numpy().min()), int(known[name].to_numpy().max()))
    (_, last), (start, end) = spread("entity"), spread("ts")
    entity = ((last + 1) * random.random(count) ** 2).astype(np.int64)
    times = random.integers(start, end, count)
    pq.write_table(pa.table({"label_id": np.arange(count), "entity": entity, "ts": times}), a.labels, compression="zstd")


def sums(path):
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = [name for name in FEATURES if name in table.column_names]
    return {"rows": table.num_rows} | {
        name: [int(pc.sum(table[name].cast("int64")).as_py() or 0), table[name].null_count] for name in columns
    }


def run(a):
    engine = next(engine for engine in ENGINES if engine.__name__ == a.engine)
    a.out, a.labels = f"{a.dir}/out-{a.engine}.parquet", f"{a.dir}/labels.parquet"
    for old in [a.out]:
        shutil.rmtree(old, ignore_errors=True) if os.path.isdir(old) else os.path.exists(old) and os.remove(old)
    start = time.perf_counter()
    engine(a)
    seconds = time.perf_counter() - start
    who = resource.RUSAGE_CHILDREN if engine is foretell else resource.RUSAGE_SELF
    peak = resource.getrusage(who).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "sums": sums(a.out)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    gen = commands.add_parser("gen")
    gen.add_argument("dir")
    for name in ["events", "entities", "labels"]:
        gen.add_argument(name, type=int)
    gen.add_argument("--ties", action="store_true")
    one = commands.add_parser("run")
    one.add_argument("engine", choices=[engine.__name__ for engine in ENGINES])
    one.add_argument("dir")
    whole = commands.add_parser("log")
    whole.add_argument("dir")
    whole.add_argument("--passes", type=int, default=3)
    for command in [one, whole]:
        command.add_argument("--bin", default="foretell")
    a = parser.parse_args()
    if a.command == "gen":
        generate(a.dir, a.events, a.entities, a.labels, a.ties)
    elif a.command == "log":
        log(a)
    else:
        run(a)
