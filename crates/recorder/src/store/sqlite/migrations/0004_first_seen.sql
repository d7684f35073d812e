-- Since when artifacts run, and what ran for the first time.

-- An interval without replicas before it is the start of a run, which goes on in those that follow it
-- with other replicas.
CREATE INDEX interval_by_run ON interval (org_id, environment_id, artifact_id, from_index)
    WHERE was = 0;

-- The first snapshot of an environment with each image (its fingerprint, or its name if that is
-- unknown), each repository and each registry.
CREATE TABLE first_seen (
    org_id         INTEGER NOT NULL,
    environment_id INTEGER NOT NULL,
    kind           TEXT NOT NULL, -- image, repository or registry
    name           TEXT NOT NULL,
    snapshot_index INTEGER NOT NULL,
    PRIMARY KEY (org_id, environment_id, kind, name)
) STRICT, WITHOUT ROWID;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('interval', 'interval_by_run', '50000 10000 1000 2 1'),
    ('first_seen', 'first_seen', '50000 10000 1000 300 1');
ANALYZE sqlite_schema;
