"""Workload A by chDB (ClickHouse): CSV OUT."""

import glob
import os
import sys

import chdb

from finish import finish, prepare

csv, out = map(os.path.abspath, sys.argv[1:3])
prepare(out)
names = (
    "call_id record_type calling called start_time answer_time end_time duration_s disposition trunk_id cell_id "
    "charge currency cause status note"
).split()
read = ", ".join(f"{name} {'Nullable(Int64)' if name == 'answer_time' else 'String'}" for name in names)
written = ", ".join(
    f"{name} String" for name in "call_id record_type st an calling called duration_s charge cell_id note".split()
)
layout = "'%Y%m%d%H%i%S'"
chdb.query(
    f"""INSERT INTO FUNCTION file('{out}/parts/{{_partition_id}}.csv','CustomSeparated','{written}')
 PARTITION BY substring(st,1,10)
 SELECT call_id, record_type, formatDateTime(t,{layout},'Asia/Shanghai') AS st,
  if(answer_time IS NULL,'',formatDateTime(toDateTime(assumeNotNull(answer_time),'Asia/Shanghai'),{layout})) AS an,
  calling, called, duration_s, charge, cell_id, note
 FROM (SELECT *, parseDateTimeBestEffort(start_time,'UTC') AS t FROM file('{csv}','CSVWithNames','{read}'))
 SETTINGS max_threads=2, engine_file_truncate_on_insert=1, max_partitions_per_insert_block=1000,
  format_custom_field_delimiter='|', format_custom_escaping_rule='Raw', input_format_csv_empty_as_default=1"""
)
parts = {os.path.basename(path)[:10]: [path] for path in glob.glob(f"{out}/parts/*.csv")}
finish(parts, out)
