-- What an interval says of its run, so that it is read with it.

-- The interval in which the run began, and the first snapshots of the environment with the image, its
-- repository and its registry; 0 if the registry is not known.
ALTER TABLE interval ADD COLUMN run_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interval ADD COLUMN first_image INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interval ADD COLUMN first_repository INTEGER NOT NULL DEFAULT 0;
ALTER TABLE interval ADD COLUMN first_registry INTEGER NOT NULL DEFAULT 0;

-- When the snapshot was recorded in which the run began; NULL if the file did not say it at the migration, being
-- damaged. And, in the last interval of a run that has ended, the last report in which it was seen.
ALTER TABLE interval ADD COLUMN run_from_at INTEGER;
ALTER TABLE interval ADD COLUMN run_until_at INTEGER;

-- Without a beginning, in a damaged file, an interval is a run of its own: verify finds what is missing.
UPDATE interval SET run_from = coalesce(
    (SELECT max(began.from_index) FROM interval AS began
     WHERE began.org_id = interval.org_id AND began.environment_id = interval.environment_id
       AND began.artifact_id = interval.artifact_id AND began.was = 0
       AND began.from_index <= interval.from_index),
    from_index);

UPDATE interval SET run_from_at =
    (SELECT recorded_at FROM snapshot
     WHERE snapshot.org_id = interval.org_id AND snapshot.environment_id = interval.environment_id
       AND snapshot.snapshot_index = interval.run_from);

-- Runs of an artifact do not overlap, so that this is also the order of from_index.
DROP INDEX interval_by_run;
DROP INDEX interval_by_artifact;
CREATE UNIQUE INDEX interval_by_artifact
    ON interval (org_id, artifact_id, environment_id, run_from, from_index);

-- The report before the snapshot without it.
UPDATE interval SET run_until_at = coalesce(
    (SELECT previous_report FROM snapshot AS next
     WHERE next.org_id = interval.org_id AND next.environment_id = interval.environment_id
       AND next.snapshot_index = interval.to_index + 1),
    (SELECT recorded_at FROM snapshot AS final
     WHERE final.org_id = interval.org_id AND final.environment_id = interval.environment_id
       AND final.snapshot_index = interval.to_index),
    run_from_at)
WHERE to_index IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM interval AS later
    WHERE later.org_id = interval.org_id AND later.artifact_id = interval.artifact_id
      AND later.environment_id = interval.environment_id AND later.run_from = interval.run_from
      AND later.from_index > interval.from_index);

DELETE FROM sqlite_stat1 WHERE idx IN ('interval_by_run', 'interval_by_artifact');
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('interval', 'interval_by_artifact', '100000 20000 4 2 1 1');
ANALYZE sqlite_schema;
