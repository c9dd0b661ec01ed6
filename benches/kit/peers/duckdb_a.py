"""Workload A by DuckDB: CSV OUT."""

import glob
import sys

import duckdb

from finish import finish, prepare

csv, out = sys.argv[1:3]
prepare(out)
names = (
    "call_id record_type calling called start_time answer_time end_time duration_s disposition trunk_id cell_id "
    "charge currency cause status note"
).split()
columns = ",".join(f"'{name}':'{'BIGINT' if name.endswith('er_time') else 'VARCHAR'}'" for name in names)
connection = duckdb.connect()
connection.execute("SET threads=2")
connection.execute("SET preserve_insertion_order=false")
# An offset in the text makes it UTC; eight hours are added.
connection.execute(
    f"""
COPY (
  SELECT call_id, record_type, strftime(t,'%Y%m%d%H%M%S') AS st,
         coalesce(strftime(make_timestamp((answer_time+28800)*1000000),'%Y%m%d%H%M%S'),'') AS an,
         calling, called, duration_s, charge, cell_id, coalesce(note,'') AS note, strftime(t,'%Y%m%d%H') AS hh
  FROM (SELECT *, CAST(start_time AS TIMESTAMP) + INTERVAL 8 HOUR AS t
        FROM read_csv('{csv}', header=true, quote='"', escape='"', delim=',', auto_detect=false, columns={{{columns}}}))
) TO '{out}/parts' (FORMAT csv, PARTITION_BY (hh), OVERWRITE_OR_IGNORE true, HEADER false, DELIMITER '|', QUOTE '',
  ESCAPE '')"""
)
parts = {}
for path in glob.glob(f"{out}/parts/hh=*/*.csv"):
    parts.setdefault(path.split("hh=")[1][:10], []).append(path)
finish(parts, out)
