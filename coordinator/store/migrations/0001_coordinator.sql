-- The coordinator's store. Times are Unix milliseconds, ids are text, lists and cells are JSON as the protocol writes them.

CREATE TABLE site (
  id TEXT PRIMARY KEY,
  added_at_ms INTEGER NOT NULL,
  last_contact_at_ms INTEGER,
  next_command_n INTEGER NOT NULL DEFAULT 1,
  segments INTEGER NOT NULL DEFAULT 0,
  last_segment_at_ms INTEGER,
  -- Counted, never silently dropped.
  unknown_items INTEGER NOT NULL DEFAULT 0,
  duplicate_records INTEGER NOT NULL DEFAULT 0,
  unfolded_deltas INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE site_key (
  site_id TEXT NOT NULL REFERENCES site (id),
  kid TEXT NOT NULL,
  public_pem TEXT NOT NULL,
  added_at_ms INTEGER NOT NULL,
  PRIMARY KEY (site_id, kid)
) STRICT;

-- A chain is one gateway store's numbered segments. The next must be last_n + 1 and name last_sha256.
CREATE TABLE chain (
  site_id TEXT NOT NULL REFERENCES site (id),
  chain TEXT NOT NULL,
  last_n INTEGER NOT NULL,
  last_sha256 TEXT NOT NULL,
  started_at_ms INTEGER NOT NULL,
  last_at_ms INTEGER NOT NULL,
  PRIMARY KEY (site_id, chain)
) STRICT;

-- Kept so that a repeat is recognised and receives the same receipt.
CREATE TABLE segment (
  site_id TEXT NOT NULL,
  chain TEXT NOT NULL,
  n INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  lane TEXT NOT NULL,
  items INTEGER NOT NULL,
  committed_at_ms INTEGER NOT NULL,
  PRIMARY KEY (site_id, chain, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE host (
  id INTEGER PRIMARY KEY,
  site_id TEXT NOT NULL REFERENCES site (id),
  device TEXT NOT NULL,
  first_seen_at_ms INTEGER NOT NULL,
  last_seen_at_ms INTEGER NOT NULL,
  presence TEXT,
  presence_at_ms INTEGER,
  platform TEXT,
  version TEXT,
  facts TEXT NOT NULL DEFAULT '{}',
  -- Lower-case text that the search of hosts looks through.
  search TEXT NOT NULL DEFAULT '',
  UNIQUE (site_id, device)
) STRICT;

CREATE TABLE host_label (
  label TEXT NOT NULL,
  host_id INTEGER NOT NULL REFERENCES host (id),
  PRIMARY KEY (label, host_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX host_label_host ON host_label (host_id);

-- received: ranges of seq committed here. lost: ranges named in a gap, each with its reason.
CREATE TABLE epoch (
  id INTEGER PRIMARY KEY,
  host_id INTEGER NOT NULL REFERENCES host (id),
  epoch TEXT NOT NULL,
  received TEXT NOT NULL DEFAULT '[]',
  lost TEXT NOT NULL DEFAULT '[]',
  site_received TEXT,
  site_reported_at_ms INTEGER,
  UNIQUE (host_id, epoch)
) STRICT;

CREATE TABLE record (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  host_id INTEGER NOT NULL REFERENCES host (id),
  epoch TEXT,
  seq INTEGER,
  kind TEXT NOT NULL,
  name TEXT,
  observed_at_ms INTEGER NOT NULL,
  received_at_ms INTEGER NOT NULL,
  committed_at_ms INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX record_committed ON record (committed_at_ms);

-- Rows of (host, query) folded in the order of history.
CREATE TABLE host_table (
  host_id INTEGER NOT NULL REFERENCES host (id),
  name TEXT NOT NULL,
  table_name TEXT,
  epoch TEXT,
  seq INTEGER,
  columns TEXT NOT NULL,
  rows TEXT NOT NULL,
  row_count INTEGER NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  received_at_ms INTEGER NOT NULL,
  stale INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (host_id, name)
) STRICT;
CREATE INDEX host_table_name ON host_table (name, host_id);
CREATE INDEX host_table_stale ON host_table (host_id) WHERE stale = 1;
CREATE INDEX host_table_table ON host_table (table_name, host_id);

-- Newest rows that came ahead of their records; dropped when host_table catches up.
CREATE TABLE host_table_ahead (
  host_id INTEGER NOT NULL REFERENCES host (id),
  name TEXT NOT NULL,
  table_name TEXT,
  epoch TEXT,
  seq INTEGER,
  columns TEXT NOT NULL,
  rows TEXT NOT NULL,
  row_count INTEGER NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  received_at_ms INTEGER NOT NULL,
  PRIMARY KEY (host_id, name)
) STRICT;
CREATE INDEX host_table_ahead_name ON host_table_ahead (name, host_id);
CREATE INDEX host_table_ahead_table ON host_table_ahead (table_name, host_id);

CREATE TABLE query (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  sql TEXT NOT NULL,
  targets TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  not_after_ms INTEGER NOT NULL,
  timeout_ms INTEGER NOT NULL,
  max_rows INTEGER NOT NULL,
  max_bytes INTEGER NOT NULL,
  cost_class TEXT NOT NULL,
  by_whom TEXT NOT NULL,
  why TEXT,
  cancelled_at_ms INTEGER,
  cancelled_by TEXT,
  -- Targets that are not final; 0: the query is done.
  open_targets INTEGER NOT NULL
) STRICT;
CREATE INDEX query_open ON query (not_after_ms) WHERE open_targets > 0;

-- One device's part in a query. host_id is NULL for a site whose devices were not known when the query was made.
CREATE TABLE query_target (
  id INTEGER PRIMARY KEY,
  query_id TEXT NOT NULL REFERENCES query (id),
  site_id TEXT NOT NULL REFERENCES site (id),
  host_id INTEGER REFERENCES host (id),
  state TEXT NOT NULL,
  reason TEXT,
  -- When each state was reached, as a JSON object.
  times TEXT NOT NULL,
  row_count INTEGER,
  -- The site said `answered`, but not every part of the answer is here yet.
  awaits_parts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX query_target_query ON query_target (query_id, site_id);
CREATE UNIQUE INDEX query_target_host ON query_target (query_id, host_id) WHERE host_id IS NOT NULL;
CREATE UNIQUE INDEX query_target_site ON query_target (query_id, site_id) WHERE host_id IS NULL;

CREATE TABLE answer (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  query_id TEXT NOT NULL REFERENCES query (id),
  host_id INTEGER NOT NULL REFERENCES host (id),
  part INTEGER NOT NULL,
  parts INTEGER NOT NULL,
  row_count INTEGER NOT NULL,
  status TEXT NOT NULL,
  message TEXT,
  truncated TEXT,
  warnings TEXT,
  columns TEXT NOT NULL,
  rows TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  received_at_ms INTEGER NOT NULL,
  UNIQUE (query_id, host_id, part)
) STRICT;
CREATE INDEX answer_query ON answer (query_id, id);

-- Signed commands, numbered per site.
CREATE TABLE command (
  site_id TEXT NOT NULL REFERENCES site (id),
  n INTEGER NOT NULL,
  -- The query that this command carries; NULL for any other.
  query_id TEXT,
  jws TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  not_after_ms INTEGER NOT NULL,
  fetched_at_ms INTEGER,
  PRIMARY KEY (site_id, n)
) STRICT, WITHOUT ROWID;

CREATE INDEX command_query ON command (query_id) WHERE query_id IS NOT NULL;

CREATE TABLE token (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  sha256 BLOB NOT NULL UNIQUE,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER,
  revoked_at_ms INTEGER,
  last_used_at_ms INTEGER
) STRICT;

-- hash covers the row and the hash before it. Rows are never changed or deleted.
CREATE TABLE audit (
  n INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  detail TEXT NOT NULL,
  prev TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;

-- How far the result log has come: records up to record_id are in the first size_bytes of file (dev, ino).
CREATE TABLE result_log (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  record_id INTEGER NOT NULL,
  path TEXT NOT NULL,
  inode TEXT NOT NULL,
  size_bytes INTEGER NOT NULL
) STRICT;

-- Rows as the result log last wrote them, for queries that log whole snapshots but travel as changes.
CREATE TABLE result_log_table (
  host_id INTEGER NOT NULL REFERENCES host (id),
  name TEXT NOT NULL,
  epoch TEXT,
  seq INTEGER,
  columns TEXT NOT NULL,
  rows TEXT NOT NULL,
  received_at_ms INTEGER NOT NULL,
  stale INTEGER NOT NULL,
  PRIMARY KEY (host_id, name)
) STRICT;
