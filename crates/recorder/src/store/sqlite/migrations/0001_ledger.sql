-- The ledger is the source of truth. Every other table is a projection of it, and could be made anew
-- from it, but for those at the end. Times are microseconds since the Unix epoch. An environment is
-- known by the sequence number of the entry that created it.

CREATE TABLE org (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- Append-only, one ledger for each organization: seq is 1, 2, 3 … without gaps.
CREATE TABLE ledger (
    org_id      INTEGER NOT NULL REFERENCES org (id),
    seq         INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    actor       TEXT NOT NULL, -- the label of the token
    hash        BLOB NOT NULL, -- 32 bytes, over the hash before it and all of this
    payload     TEXT NOT NULL, -- canonical JSON
    PRIMARY KEY (org_id, seq)
) STRICT;

CREATE TABLE environment (
    org_id                INTEGER NOT NULL,
    id                    INTEGER NOT NULL,
    name                  TEXT NOT NULL,
    type                  TEXT NOT NULL,
    description           TEXT NOT NULL,
    include_scaling       INTEGER NOT NULL,
    included_environments TEXT, -- JSON, an array of names
    policies              TEXT, -- JSON, an array of names
    changed_at            INTEGER NOT NULL,
    archived_at           INTEGER, -- NULL while it is in use
    latest_index          INTEGER NOT NULL, -- 0 before the first snapshot
    reported_in_ledger_at INTEGER, -- the latest entry that says something of its reports
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot (
    org_id          INTEGER NOT NULL,
    environment_id  INTEGER NOT NULL,
    snapshot_index  INTEGER NOT NULL, -- 1, 2, 3 … without gaps
    seq             INTEGER NOT NULL,
    recorded_at     INTEGER NOT NULL,
    previous_report INTEGER, -- the report before it
    content_hash    BLOB NOT NULL, -- 32 bytes, of what runs in it
    artifacts       INTEGER NOT NULL, -- how many run
    replicas        INTEGER NOT NULL, -- how many of them
    events          INTEGER NOT NULL, -- starts, exits and changes of replicas, in it and before it
    PRIMARY KEY (org_id, environment_id, snapshot_index)
) STRICT, WITHOUT ROWID;

CREATE INDEX snapshot_by_events ON snapshot (org_id, environment_id, events, snapshot_index);

-- What ever ran, numbered in the order in which it first did.
CREATE TABLE artifact (
    org_id      INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    fingerprint TEXT NOT NULL, -- 64 hexadecimal digits; '' if it is unknown
    name        TEXT NOT NULL, -- of one without a fingerprint, which is known by it; otherwise ''
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, fingerprint, name)
) STRICT, WITHOUT ROWID;

-- Every name that an artifact was reported with.
CREATE TABLE artifact_label (
    org_id      INTEGER NOT NULL,
    label       TEXT NOT NULL,
    artifact_id INTEGER NOT NULL,
    PRIMARY KEY (org_id, label, artifact_id)
) STRICT, WITHOUT ROWID;

-- A time in which an artifact ran with the same number of replicas in an environment. A snapshot is
-- the intervals that contain its index. Its other columns are as of the report that opened it.
CREATE TABLE interval (
    org_id         INTEGER NOT NULL,
    artifact_id    INTEGER NOT NULL,
    environment_id INTEGER NOT NULL,
    from_index     INTEGER NOT NULL,
    to_index       INTEGER, -- the last one; NULL while it lasts
    -- Of the indexes from the first to the last, the one that the highest power of two divides; 0
    -- while it lasts. Intervals that contain an index have one of some twenty nodes.
    node           INTEGER NOT NULL,
    replicas       INTEGER NOT NULL,
    was            INTEGER NOT NULL, -- replicas before; 0 if it started
    name           TEXT NOT NULL,
    started_at     TEXT NOT NULL, -- JSON, an array of seconds since the Unix epoch
    task           TEXT NOT NULL, -- JSON
    places         TEXT NOT NULL, -- JSON, an array; empty if the task says it
    -- So that what runs now, and what ran at any index, stands together.
    PRIMARY KEY (org_id, environment_id, node, from_index, artifact_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX interval_by_artifact
    ON interval (org_id, artifact_id, environment_id, from_index);
CREATE INDEX interval_by_start ON interval (org_id, environment_id, from_index);
CREATE INDEX interval_by_end ON interval (org_id, environment_id, to_index);

-- Times in which reports came without a time between them that is not covered.
CREATE TABLE coverage (
    org_id         INTEGER NOT NULL,
    environment_id INTEGER NOT NULL,
    number         INTEGER NOT NULL, -- 1, 2, 3 …
    from_at        INTEGER NOT NULL,
    until_at       INTEGER NOT NULL,
    PRIMARY KEY (org_id, environment_id, number)
) STRICT, WITHOUT ROWID;

-- What the ledger does not say: each environment's last report, …
CREATE TABLE reporting (
    org_id           INTEGER NOT NULL,
    environment_id   INTEGER NOT NULL,
    last_reported_at INTEGER NOT NULL,
    heartbeat        INTEGER, -- seconds
    tasks_hash       BLOB NOT NULL, -- of all the tasks in that report
    PRIMARY KEY (org_id, environment_id)
) STRICT, WITHOUT ROWID;

-- … the tasks that now run what runs, if they are others than when the interval began, …
CREATE TABLE current_task (
    org_id         INTEGER NOT NULL,
    environment_id INTEGER NOT NULL,
    artifact_id    INTEGER NOT NULL,
    started_at     TEXT NOT NULL,
    task           TEXT NOT NULL,
    places         TEXT NOT NULL,
    PRIMARY KEY (org_id, environment_id, artifact_id)
) STRICT, WITHOUT ROWID;

-- How far the file has come, in one row: what is stored is that of position.rs.
CREATE TABLE position (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    state BLOB NOT NULL
) STRICT;

-- From each start of a recorder on this file to the next.
CREATE TABLE session (
    first_commit INTEGER PRIMARY KEY,
    id           BLOB NOT NULL,
    path         TEXT NOT NULL -- of the file then
) STRICT;

-- … and, always empty, what is written and removed again to see whether there is room.
CREATE TABLE probe (room BLOB NOT NULL) STRICT;

-- What SQLite would find out from a long history, so that it plans its queries for one from the
-- beginning: how many rows an index has, and how many of them share its first column, its first two …
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('environment', 'environment', '500 100 1'),
    ('snapshot', 'snapshot', '50000 10000 1000 1'),
    ('artifact', 'artifact', '50000 10000 1'),
    ('artifact', 'sqlite_autoindex_artifact_2', '50000 10000 1 1'),
    ('current_task', 'current_task', '10000 2000 200 1'),
    ('interval', 'interval', '100000 20000 2000 200 2 1'),
    ('interval', 'interval_by_artifact', '100000 20000 4 2 1'),
    ('interval', 'interval_by_start', '100000 20000 2000 3'),
    ('interval', 'interval_by_end', '100000 20000 2000 3');
ANALYZE sqlite_schema;
