-- Where software comes from. A flow and a trail are known by the sequence number of the entry that
-- created them; every other row by that of its entry, which holds all that was reported.

CREATE TABLE flow (
    org_id             INTEGER NOT NULL,
    id                 INTEGER NOT NULL,
    name               TEXT NOT NULL,
    description        TEXT NOT NULL,
    visibility         TEXT NOT NULL,
    template           TEXT, -- JSON: the text, and what it expects
    tags               TEXT NOT NULL, -- JSON, an object of strings
    latest_activity_at INTEGER NOT NULL,
    archived_at        INTEGER, -- NULL while it is in use
    PRIMARY KEY (org_id, id)
) STRICT, WITHOUT ROWID;

-- The names by which flows are found: also names that they had before, until another flow takes them.
CREATE TABLE flow_name (
    org_id  INTEGER NOT NULL,
    name    TEXT NOT NULL,
    flow_id INTEGER NOT NULL,
    PRIMARY KEY (org_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE trail (
    org_id     INTEGER NOT NULL,
    id         INTEGER NOT NULL,
    flow_id    INTEGER NOT NULL,
    name       TEXT NOT NULL,
    details    TEXT NOT NULL, -- a JSON object: the latest value of each field
    template   TEXT, -- as of a flow; in its place
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, flow_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX trail_by_flow ON trail (org_id, flow_id, id);

-- The entries that changed what is known of a trail.
CREATE TABLE trail_change (
    org_id   INTEGER NOT NULL,
    trail_id INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (org_id, trail_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifact_report (
    org_id        INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    flow_id       INTEGER NOT NULL,
    trail_id      INTEGER,
    fingerprint   TEXT NOT NULL, -- 64 hexadecimal digits
    name          TEXT NOT NULL,
    git_commit    TEXT NOT NULL,
    template_name TEXT,
    recorded_at   INTEGER NOT NULL,
    PRIMARY KEY (org_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX artifact_report_by_fingerprint ON artifact_report (org_id, fingerprint, flow_id, seq);
CREATE INDEX artifact_report_by_commit ON artifact_report (org_id, git_commit, seq);
CREATE INDEX artifact_report_by_flow ON artifact_report (org_id, flow_id, seq);
CREATE INDEX artifact_report_by_trail ON artifact_report (org_id, trail_id, fingerprint, seq);

CREATE TABLE attestation (
    org_id       INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    trail_id     INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    fingerprint  TEXT NOT NULL, -- '' if it names none
    git_commit   TEXT NOT NULL, -- '' if it names none
    targets      TEXT NOT NULL, -- JSON, an array of names in the template
    is_compliant INTEGER, -- NULL if nothing decides it
    overrides    INTEGER, -- the attestation whose result it replaces
    sha256       BLOB, -- of the file with it
    recorded_at  INTEGER NOT NULL,
    PRIMARY KEY (org_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX attestation_by_trail ON attestation (org_id, trail_id, seq);
CREATE INDEX attestation_by_artifact ON attestation (org_id, trail_id, fingerprint, git_commit, seq);
CREATE INDEX attestation_by_name ON attestation (org_id, trail_id, name, seq);
CREATE INDEX attestation_by_fingerprint ON attestation (org_id, fingerprint, seq);

CREATE TABLE deployment (
    org_id      INTEGER NOT NULL,
    flow_id     INTEGER NOT NULL,
    number      INTEGER NOT NULL, -- 1, 2, 3 … in the flow
    seq         INTEGER NOT NULL,
    environment TEXT NOT NULL, -- its name, which need not be known
    fingerprint TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, flow_id, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX deployment_by_fingerprint ON deployment (org_id, fingerprint, seq);
CREATE INDEX deployment_by_environment ON deployment (org_id, environment, seq);

CREATE TABLE allowance (
    org_id         INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    environment_id INTEGER, -- NULL for every one
    fingerprint    TEXT NOT NULL, -- '' if a pattern says it
    name           TEXT NOT NULL,
    pattern        TEXT NOT NULL, -- '' if a fingerprint says it
    reason         TEXT NOT NULL,
    recorded_at    INTEGER NOT NULL,
    withdrawn_at   INTEGER, -- NULL while it counts
    PRIMARY KEY (org_id, seq)
) STRICT, WITHOUT ROWID;

-- Files with attestations, each stored once in an organization. The ledger has their hashes.
CREATE TABLE attachment (
    org_id INTEGER NOT NULL,
    sha256 BLOB NOT NULL, -- 32 bytes
    size   INTEGER NOT NULL, -- in bytes
    PRIMARY KEY (org_id, sha256)
) STRICT, WITHOUT ROWID;

CREATE TABLE attachment_chunk (
    org_id INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    number INTEGER NOT NULL, -- 0, 1, 2 …
    bytes  BLOB NOT NULL,
    PRIMARY KEY (org_id, sha256, number)
) STRICT;

-- Beside the ledger: what was reported in the last minutes, so that a request that is repeated is found.
CREATE TABLE recent_report (
    org_id      INTEGER NOT NULL,
    digest      BLOB NOT NULL, -- 32 bytes, of what it says and of the token's label
    seq         INTEGER NOT NULL, -- the latest entry that says it
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX recent_report_by_time ON recent_report (org_id, recorded_at);

-- As in the tables before: what SQLite would find out from a long history.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('trail', 'trail', '100000 20000 1'),
    ('trail', 'sqlite_autoindex_trail_2', '100000 20000 1000 1'),
    ('trail', 'trail_by_flow', '100000 20000 1000 1'),
    ('artifact_report', 'artifact_report', '100000 20000 1'),
    ('artifact_report', 'artifact_report_by_fingerprint', '100000 20000 2 2 1'),
    ('artifact_report', 'artifact_report_by_commit', '100000 20000 2 1'),
    ('artifact_report', 'artifact_report_by_flow', '100000 20000 1000 1'),
    ('artifact_report', 'artifact_report_by_trail', '100000 20000 2 1 1'),
    ('attestation', 'attestation', '500000 100000 1'),
    ('attestation', 'attestation_by_trail', '500000 100000 5 1'),
    ('attestation', 'attestation_by_artifact', '500000 100000 5 2 2 1'),
    ('attestation', 'attestation_by_name', '500000 100000 5 1 1'),
    ('attestation', 'attestation_by_fingerprint', '500000 100000 5 1'),
    ('deployment', 'deployment', '100000 20000 1000 1'),
    ('deployment', 'deployment_by_fingerprint', '100000 20000 2 1'),
    ('deployment', 'deployment_by_environment', '100000 20000 2000 1');
ANALYZE sqlite_schema;
