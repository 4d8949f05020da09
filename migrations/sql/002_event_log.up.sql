-- The log that everything follows from, and what belongs to it.

CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  recorded_at INTEGER NOT NULL,
  command_id TEXT,
  data ANY,
  metadata TEXT,
  hash BLOB NOT NULL,
  UNIQUE (stream, version)
) STRICT;

-- What was answered to a command that came with an id: the same id gets the same bytes. `position` is the
-- head of the log once the command was done, also where it changed nothing: a restore to an earlier
-- position forgets the answers after it.
CREATE TABLE command_answers (
  command_id TEXT PRIMARY KEY NOT NULL,
  request_hash BLOB NOT NULL,
  position INTEGER NOT NULL,
  answer TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE timelines (
  timeline INTEGER PRIMARY KEY,
  first_position INTEGER NOT NULL
) STRICT;

CREATE TABLE store (
  store_id TEXT PRIMARY KEY NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

-- Kept states, which shorten the reading of long streams. `shape` names the structure that `state` was
-- written with: one of another shape is passed over.
CREATE TABLE snapshots (
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  position INTEGER NOT NULL,
  shape TEXT NOT NULL,
  state TEXT NOT NULL,
  PRIMARY KEY (stream, version)
) STRICT, WITHOUT ROWID;

-- Who holds which running job. Not history: emptied by a restore.
CREATE TABLE job_leases (
  job_id TEXT PRIMARY KEY NOT NULL,
  token TEXT NOT NULL,
  worker TEXT NOT NULL,
  lease_ms INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
