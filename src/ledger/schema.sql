-- The ledger of hourdrop: every decision and its outcome. SQLite, WAL, synchronous FULL.
-- Times are nanoseconds since 1970-01-01T00:00:00Z unless a column says seconds. Programs and people read the
-- views v_hours, v_files, v_inputs and v_quarantine: they stay stable; the tables behind them may change.
-- "check" is a checksum of the table's name and all other columns of the row; hourdrop reads no row without it. Any
-- program can read the file; only hourdrop, which knows row_check, can write it.

CREATE TABLE store (                    -- facts about the store itself
  key   TEXT PRIMARY KEY,               -- schema_version, store_id, applied_lsn, freed_lsn, log_number, clock,
                                        -- seen COUNTER, last_fact (number and check)
  value TEXT NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('store', key, value)) STORED
) WITHOUT ROWID;

CREATE TABLE fact (                     -- append-only; each row's check covers the row before it
  id      INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  kind    TEXT NOT NULL,                -- planned, sealed, held, delivered, ...
  subject TEXT NOT NULL,                -- feed and hour, file name, source
  detail  TEXT NOT NULL,
  "check" BLOB NOT NULL                 -- SHA-256 of the previous check and this row
);

CREATE TABLE definition (               -- every version of a feed that was ever used, with its formats
  hash TEXT PRIMARY KEY,
  feed TEXT NOT NULL,
  text TEXT NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('definition', hash, feed, text)) STORED
) WITHOUT ROWID;

CREATE TABLE feed_version (             -- partitions that start at or after from_second use this definition
  feed        TEXT NOT NULL,
  from_second INTEGER NOT NULL,
  hash        TEXT NOT NULL REFERENCES definition (hash),
  "check" INTEGER NOT NULL AS (row_check('feed_version', feed, from_second, hash)) STORED,
  PRIMARY KEY (feed, from_second)
) WITHOUT ROWID;

CREATE TABLE feed (                     -- how far each feed has come
  feed          TEXT PRIMARY KEY,
  closed_second INTEGER,                -- every partition that ends here or earlier is closed
  starts_nanos  INTEGER,                -- where a feed begins that was added later without starts_at
  manifest_hash TEXT,                   -- SHA-256 of the feed's last manifest, for the chain
  "check" INTEGER NOT NULL AS (row_check('feed', feed, closed_second, starts_nanos, manifest_hash)) STORED
) WITHOUT ROWID;

CREATE TABLE counter (                  -- sequence counters
  name   TEXT PRIMARY KEY,              -- NAME, and NAME@LABEL for days, months or years before
  cycle  INTEGER NOT NULL,
  number INTEGER NOT NULL,              -- the number given last
  label  TEXT NOT NULL,                 -- day, month or year of a counter that begins again
  "check" INTEGER NOT NULL AS (row_check('counter', name, cycle, number, label)) STORED
) WITHOUT ROWID;

CREATE TABLE hour (                     -- what became of the records of one hour of one feed
  feed         TEXT NOT NULL,
  start_second INTEGER NOT NULL,        -- -1: records without a usable time
  end_second   INTEGER NOT NULL,
  received     INTEGER NOT NULL DEFAULT 0,
  filtered     INTEGER NOT NULL DEFAULT 0,
  quarantined  INTEGER NOT NULL DEFAULT 0,
  duplicate    INTEGER NOT NULL DEFAULT 0,
  voided       INTEGER NOT NULL DEFAULT 0, -- let go by a person before they were in a file
  "check" INTEGER NOT NULL AS (row_check('hour', feed, start_second, end_second, received, filtered,
    quarantined, duplicate, voided)) STORED,
  PRIMARY KEY (feed, start_second)
) WITHOUT ROWID;

CREATE TABLE lost (                     -- records that were counted, and that an hour went on without
  feed         TEXT NOT NULL,
  start_second INTEGER NOT NULL,
  records      INTEGER NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('lost', feed, start_second, records)) STORED,
  PRIMARY KEY (feed, start_second)
) WITHOUT ROWID;

CREATE TABLE batch (                    -- all that one partner gets for one hour at one revision
  id                INTEGER PRIMARY KEY,
  feed              TEXT NOT NULL,
  start_second      INTEGER NOT NULL,
  end_second        INTEGER NOT NULL,
  revision          INTEGER NOT NULL,
  state             TEXT NOT NULL,
  reason            TEXT,               -- why it is held or void
  from_lsn          INTEGER NOT NULL,   -- records at from_lsn <= lsn < cut_lsn belong to it
  cut_lsn           INTEGER NOT NULL,
  definition        TEXT NOT NULL REFERENCES definition (hash),
  encoder_revision  INTEGER NOT NULL,
  sealed_at         INTEGER NOT NULL,
  source_incomplete INTEGER NOT NULL,
  received          INTEGER NOT NULL,   -- as the manifest states them
  filtered          INTEGER NOT NULL,
  quarantined       INTEGER NOT NULL,
  duplicate         INTEGER NOT NULL,
  records           INTEGER NOT NULL,
  voided            INTEGER NOT NULL DEFAULT 0, -- those of them that lie in void files
  delivered_at      INTEGER,
  "check" INTEGER NOT NULL AS (row_check('batch', id, feed, start_second, end_second, revision, state, reason,
    from_lsn, cut_lsn, definition, encoder_revision, sealed_at, source_incomplete, received, filtered,
    quarantined, duplicate, records, voided, delivered_at)) STORED,
  UNIQUE (feed, start_second, revision)
);
CREATE INDEX batch_state ON batch (state);
CREATE INDEX batch_feed_state ON batch (feed, state);

CREATE TABLE file (                     -- part files (part 1..) and manifests (part 0)
  id           INTEGER PRIMARY KEY,
  batch        INTEGER NOT NULL REFERENCES batch (id),
  part         INTEGER NOT NULL,
  name         TEXT NOT NULL,
  cycle        INTEGER,
  number       INTEGER,                 -- sequence number
  records      INTEGER NOT NULL,
  bytes        INTEGER,                 -- from here on empty until the file lies in the archive
  sha256       TEXT,
  first_event  INTEGER,
  last_event   INTEGER,
  totals       TEXT,                    -- JSON object of exact decimals as text
  archive_path TEXT,
  state        TEXT NOT NULL,           -- planned, then the states of a delivery
  attempt      INTEGER NOT NULL DEFAULT 1, -- the current or the next one
  exposed      INTEGER NOT NULL DEFAULT 0, -- an earlier attempt came as far as its rename
  temporary    TEXT,                    -- path of the temporary name at the partner, until it is known to be gone
  reason       TEXT,                    -- why it is held
  proof_name   TEXT,                    -- path at the partner under which it became visible
  verified     TEXT,                    -- how that is known; of a file in doubt: the evidence there is
  resent       INTEGER NOT NULL DEFAULT 0, -- how often it was sent again although it may have arrived
  stated_in    INTEGER,                 -- the batch whose manifest lists the number of this void file
  delivered_at INTEGER,
  "check" INTEGER NOT NULL AS (row_check('file', id, batch, part, name, cycle, number, records, bytes, sha256,
    first_event, last_event, totals, archive_path, state, attempt, exposed, temporary, reason, proof_name,
    verified, resent, stated_in, delivered_at)) STORED,
  UNIQUE (batch, part)
);
CREATE INDEX file_state ON file (state);
CREATE INDEX file_name ON file (name);

CREATE TABLE pickup (                   -- what became of delivered files in the partner's directory
  file         INTEGER PRIMARY KEY,     -- none: no listing has shown it yet
  state        TEXT NOT NULL,           -- there, picked up, gone, back, removing, removed
  first_seen   INTEGER,
  last_seen    INTEGER,                 -- of a file that is there: see look
  first_missed INTEGER,
  taken_at     INTEGER,                 -- when it became known that the partner took it
  how          TEXT,                    -- how that is known: missing, moved, renamed, deleted
  modified     INTEGER,                 -- what the listing stated that showed it first
  unique_fact  TEXT,
  "check" INTEGER NOT NULL AS (row_check('pickup', file, state, first_seen, last_seen, first_missed, taken_at, how,
    modified, unique_fact)) STORED
);

CREATE TABLE answer (                   -- answer files of partners that were read
  id          INTEGER PRIMARY KEY,
  partner     TEXT NOT NULL,
  name        TEXT NOT NULL,
  bytes       INTEGER NOT NULL,
  sha256      TEXT NOT NULL,
  modified    INTEGER,                  -- what the listing stated
  unique_fact TEXT,
  path        TEXT NOT NULL,            -- where it is kept, below the archive
  code        TEXT,                     -- of the alarm: nothing of it counts
  problem     TEXT,
  at          INTEGER NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('answer', id, partner, name, bytes, sha256, modified, unique_fact, path, code,
    problem, at)) STORED,
  UNIQUE (partner, name, sha256)
);

CREATE TABLE verdict (                  -- what partners answered about files
  file    INTEGER PRIMARY KEY,
  state   TEXT NOT NULL,                -- accepted, rejected, settled (by a person)
  records INTEGER NOT NULL,             -- rejected records; 0: the whole file
  reason  TEXT NOT NULL,
  at      INTEGER NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('verdict', file, state, records, reason, at)) STORED
);
CREATE INDEX verdict_rejected ON verdict (state) WHERE state = 'rejected';

CREATE TABLE look (                     -- the last whole listing of each partner's directory
  partner TEXT PRIMARY KEY,
  at      INTEGER NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('look', partner, at)) STORED
) WITHOUT ROWID;

-- `sha256` of inputs is what they are known by: digits of SHA-256 alone, or since schema 5 "blake3:" and digits.
CREATE TABLE input (                    -- input files that were read to their end
  id       INTEGER PRIMARY KEY,
  source   TEXT NOT NULL,
  name     TEXT NOT NULL,
  bytes    INTEGER NOT NULL,
  modified INTEGER NOT NULL,
  sha256   TEXT NOT NULL,
  records  INTEGER NOT NULL,
  rejects  INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('input', id, source, name, bytes, modified, sha256, records, rejects,
    at)) STORED
);
CREATE INDEX input_name ON input (source, name);
CREATE INDEX input_content ON input (source, bytes, sha256);

CREATE TABLE position (                 -- how far inputs were read that are not finished
  source     TEXT NOT NULL,
  input      TEXT NOT NULL,
  record     INTEGER NOT NULL,
  line       INTEGER NOT NULL,
  byte       INTEGER NOT NULL,
  prefix_crc INTEGER NOT NULL,          -- CRC32C of the bytes before it
  "check" INTEGER NOT NULL AS (row_check('position', source, input, record, line, byte, prefix_crc)) STORED,
  PRIMARY KEY (source, input)
) WITHOUT ROWID;

CREATE TABLE source (                   -- what each source has given
  source      TEXT PRIMARY KEY,
  records     INTEGER NOT NULL DEFAULT 0,
  rejects     INTEGER NOT NULL DEFAULT 0,
  last_at     INTEGER,                  -- when the last record was accepted
  last_event  INTEGER,                  -- latest event time seen
  "check" INTEGER NOT NULL AS (row_check('source', source, records, rejects, last_at, last_event)) STORED
) WITHOUT ROWID;

CREATE TABLE quarantine (               -- records that could not be decoded (no feed) or rendered (one feed)
  id      INTEGER PRIMARY KEY,
  source  TEXT NOT NULL,
  feed    TEXT NOT NULL,                -- empty when the record could not be decoded
  start_second INTEGER,                 -- hour of the feed, where the record has one
  input   TEXT NOT NULL,
  record  INTEGER NOT NULL,
  line    INTEGER NOT NULL,
  byte    INTEGER NOT NULL,
  reason  TEXT NOT NULL,
  stage   TEXT NOT NULL,                -- decode, route, render: where it failed
  raw     BLOB NOT NULL,                -- the bytes as received, or the decoded record
  head    BLOB NOT NULL DEFAULT x'',    -- what names the columns at the beginning of the input, where that is needed
  lsn     INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  state   TEXT NOT NULL DEFAULT 'held', -- held, retried, rendered (a released hour held it after all)
  "check" INTEGER NOT NULL AS (row_check('quarantine', id, source, feed, start_second, input, record, line,
    byte, reason, stage, raw, head, lsn, at, state)) STORED,
  UNIQUE (source, feed, input, byte, lsn, record)
);
CREATE INDEX quarantine_hour ON quarantine (feed, start_second);

CREATE TABLE alarm (                    -- what needs a person now
  subject TEXT NOT NULL,
  code    TEXT NOT NULL,
  message TEXT NOT NULL,
  hint    TEXT NOT NULL,
  since   INTEGER NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('alarm', subject, code, message, hint, since)) STORED,
  PRIMARY KEY (subject, code, message)
) WITHOUT ROWID;

CREATE TABLE touched (                  -- keys of rows that changed since the archive's log got them
  id      INTEGER PRIMARY KEY,
  "table" TEXT NOT NULL,
  key     TEXT NOT NULL,                -- JSON list
  "check" INTEGER NOT NULL AS (row_check('touched', id, "table", key)) STORED,
  UNIQUE ("table", key)
);

CREATE TABLE paused (                   -- partners, feeds and sources that rest until a person says otherwise
  subject TEXT PRIMARY KEY,             -- partner NAME, feed PARTNER/FEED, source NAME
  since   INTEGER NOT NULL,
  reason  TEXT NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('paused', subject, since, reason)) STORED
) WITHOUT ROWID;

CREATE TABLE ordered_hold (             -- open hours that a person wants to be held when their time comes
  feed         TEXT NOT NULL,
  start_second INTEGER NOT NULL,
  end_second   INTEGER NOT NULL,
  since        INTEGER NOT NULL,
  reason       TEXT NOT NULL,
  "check" INTEGER NOT NULL AS (row_check('ordered_hold', feed, start_second, end_second, since, reason)) STORED,
  PRIMARY KEY (feed, start_second)
) WITHOUT ROWID;

CREATE TABLE request (                  -- requests that were executed: none is executed twice
  id      TEXT PRIMARY KEY,
  at      INTEGER NOT NULL,
  outcome TEXT NOT NULL,                -- a JSON object
  "check" INTEGER NOT NULL AS (row_check('request', id, at, outcome)) STORED
) WITHOUT ROWID;

CREATE TABLE hour_sum (                 -- what hours come to that are with the partner: sums over the rows above
  feed            TEXT NOT NULL,
  start_second    INTEGER NOT NULL,     -- every hour of the feed that starts here or later
  end_second      INTEGER NOT NULL,     -- and before this second
  gapless         INTEGER NOT NULL,     -- 1: each hour begins where the one before ends
  hours           INTEGER NOT NULL,
  part_files      INTEGER NOT NULL,
  part_numbers    TEXT NOT NULL,        -- runs CYCLE:FIRST-LAST
  manifest_numbers TEXT NOT NULL,
  void_numbers    TEXT NOT NULL,        -- those of the part numbers whose file is void
  taken           INTEGER NOT NULL,     -- delivered files that the partner has taken
  taken_at        INTEGER,              -- the last of them
  waiting         INTEGER NOT NULL,     -- delivered files that it has not taken
  waiting_since   INTEGER,              -- the first of these
  "check" INTEGER NOT NULL AS (row_check('hour_sum', feed, start_second, end_second, gapless, hours, part_files,
    part_numbers, manifest_numbers, void_numbers, taken, taken_at, waiting, waiting_since)) STORED,
  PRIMARY KEY (feed, start_second)
) WITHOUT ROWID;

CREATE VIEW v_hours AS
SELECT h.feed, datetime(h.start_second, 'unixepoch') || 'Z' AS hour_utc, h.start_second, h.end_second,
       h.received, coalesce(sum(b.records - b.voided), 0) AS sent, h.filtered, h.quarantined,
       h.voided + coalesce(sum(b.voided), 0) AS void, coalesce(l.records, 0) AS lost,
       h.received - h.filtered - h.quarantined - h.voided - coalesce(sum(b.records), 0)
         - coalesce(l.records, 0) AS pending, h.duplicate,
       coalesce(max(b.revision), -1) AS revision,
       coalesce((SELECT n.state FROM batch n WHERE n.feed = h.feed AND n.start_second = h.start_second
                 ORDER BY n.revision DESC LIMIT 1), 'open') AS state
FROM hour h LEFT JOIN batch b ON b.feed = h.feed AND b.start_second = h.start_second
     LEFT JOIN lost l ON l.feed = h.feed AND l.start_second = h.start_second
WHERE h.start_second >= 0
GROUP BY h.feed, h.start_second;

CREATE VIEW v_files AS
SELECT b.feed, datetime(b.start_second, 'unixepoch') || 'Z' AS hour_utc, b.start_second, b.revision,
       CASE f.part WHEN 0 THEN 'manifest' ELSE 'data' END AS kind, f.part, f.name, f.number AS sequence, f.records,
       f.bytes, f.sha256, f.state, f.attempt, f.resent, f.verified,
       strftime('%Y-%m-%dT%H:%M:%SZ', f.delivered_at / 1000000000, 'unixepoch') AS delivered_utc, f.archive_path,
       strftime('%Y-%m-%dT%H:%M:%SZ', p.taken_at / 1000000000, 'unixepoch') AS picked_up_utc
FROM file f JOIN batch b ON b.id = f.batch LEFT JOIN pickup p ON p.file = f.id;

CREATE VIEW v_inputs AS
SELECT source, name, bytes, CASE WHEN instr(sha256, ':') = 0 THEN sha256 END AS sha256, records, rejects,
       strftime('%Y-%m-%dT%H:%M:%SZ', at / 1000000000, 'unixepoch') AS read_utc,
       CASE WHEN instr(sha256, ':') = 0 THEN 'sha256:' || sha256 ELSE sha256 END AS hash
FROM input;

CREATE VIEW v_quarantine AS
SELECT id, source, feed, input, record, line, byte, reason, state,
       strftime('%Y-%m-%dT%H:%M:%SZ', at / 1000000000, 'unixepoch') AS since_utc
FROM quarantine;
