-- The latest rows of every (device, query), folded from the journal. Written by the state worker only.
CREATE TABLE fold (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  journal_id INTEGER NOT NULL,
  stale_deltas INTEGER NOT NULL
) STRICT;
INSERT INTO fold VALUES (1, 0, 0);

-- Rewritten only when rows change: rows are Brotli-compressed columnar cells.
CREATE TABLE latest (
  id INTEGER PRIMARY KEY,
  device TEXT NOT NULL,
  name TEXT NOT NULL,
  table_name TEXT,
  columns TEXT NOT NULL,
  rows BLOB NOT NULL,
  row_count INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  -- the journal record that brought these rows
  journal_id INTEGER NOT NULL,
  changed_at_ms INTEGER NOT NULL,
  UNIQUE (device, name)
) STRICT;
CREATE INDEX latest_journal_id ON latest (journal_id);
CREATE INDEX latest_name ON latest (name);
CREATE INDEX latest_table_name ON latest (table_name) WHERE table_name IS NOT NULL;

-- Narrow, because it changes with every look at a table, changed or not.
CREATE TABLE seen (
  latest_id INTEGER PRIMARY KEY REFERENCES latest (id) ON DELETE CASCADE,
  epoch TEXT,
  seq INTEGER,
  observed_at_ms INTEGER NOT NULL,
  received_at_ms INTEGER NOT NULL,
  -- 1: a delta could not be applied; the rows are from before it, until the next snapshot
  stale INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE device (
  device TEXT PRIMARY KEY,
  facts TEXT NOT NULL DEFAULT '{}',
  first_received_ms INTEGER NOT NULL,
  last_received_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
