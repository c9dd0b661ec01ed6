"""Workload A by Polars: CSV OUT."""

import glob
import sys

import polars as pl

from finish import finish, prepare

csv, out = sys.argv[1:3]
prepare(out)
layout = "%Y%m%d%H%M%S"
names = (
    "call_id record_type calling called start_time answer_time end_time duration_s disposition trunk_id cell_id "
    "charge currency cause status note"
).split()
schema = {name: pl.String for name in names} | {"answer_time": pl.Int64}
start = pl.col("start_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="ms").dt.replace_time_zone(None)
local = start + pl.duration(hours=8)
hours = (
    pl.scan_csv(csv, schema=schema)
    .select(
        "call_id",
        "record_type",
        local.dt.strftime(layout).alias("st"),
        pl.from_epoch(pl.col("answer_time") + 28800).dt.strftime(layout).alias("an"),
        "calling",
        "called",
        "duration_s",
        "charge",
        "cell_id",
        "note",
    )
    .with_columns(pl.col("st").str.slice(0, 10).alias("hh"))
)
hours.sink_csv(
    pl.PartitionBy(f"{out}/parts", key="hh", include_key=False),
    separator="|",
    include_header=False,
    quote_style="never",
    null_value="",
    mkdir=True,
)
parts = {}
for path in glob.glob(f"{out}/parts/hh=*/*.csv"):
    parts.setdefault(path.split("hh=")[1][:10], []).append(path)
finish(parts, out)
