-- What an interval says of its run, so that it is read with it.

-- The interval in which the run began, and the first snapshots of the environment with the image, its
-- repository and its registry; 0 if the registry is not known.
ALTER TABLE interval ADD COLUMN run_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interval ADD COLUMN first_image INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interval ADD COLUMN first_repository INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interval ADD COLUMN first_registry INTEGER NOT NULL DEFAULT 0;

-- Without a beginning, in a damaged file, an interval is a run of its own: verify finds what is missing.
UPDATE interval SET run_from = coalesce(
    (SELECT max(began.from_index) FROM interval AS began
     WHERE began.org_id = interval.org_id AND began.environment_id = interval.environment_id
       AND began.artifact_id = interval.artifact_id AND began.was = 0
       AND began.from_index <= interval.from_index),
    from_index);

-- Runs of an artifact do not overlap, so that this is also the order of from_index.
DROP INDEX interval_by_run;
DROP INDEX interval_by_artifact;
CREATE UNIQUE INDEX interval_by_artifact
    ON interval (org_id, artifact_id, environment_id, run_from, from_index);

DELETE FROM sqlite_stat1 WHERE idx IN ('interval_by_run', 'interval_by_artifact');
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('interval', 'interval_by_artifact', '100000 20000 4 2 1 1');
ANALYZE sqlite_schema;
