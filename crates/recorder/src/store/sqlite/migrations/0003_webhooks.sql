-- How far messages were delivered. The ledger does not say it: it concerns this recorder alone.

-- Each webhook that was ever used, known by 32 hexadecimal digits, made of its address and its filters.
CREATE TABLE webhook (
    id TEXT PRIMARY KEY
) STRICT;

-- The last entry of an organization's ledger whose messages were delivered to a webhook; 0 if there is
-- no row.
CREATE TABLE webhook_position (
    org_id  INTEGER NOT NULL,
    webhook TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (org_id, webhook)
) STRICT, WITHOUT ROWID;
