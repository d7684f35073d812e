//! The files with attestations, which the ledger has by their hashes.

use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

/// What is checked of the files that were reported with attestations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentCheck {
    /// Nothing: the file that is verified has no attachments.
    Absent,
    /// That each is complete by the sizes and numbers of its chunks; they are not hashed.
    Sizes,
    /// That the content of each has its SHA-256.
    Content,
}

/// The SHA-256, in hexadecimal digits, of the first attachment that is missing, incomplete, changed or not
/// in the ledger.
pub(super) fn first_invalid_attachment(
    connection: &Connection,
    check: AttachmentCheck,
) -> rusqlite::Result<Option<String>> {
    if check == AttachmentCheck::Absent {
        return Ok(None);
    }
    let mut statement = connection.prepare(
        "SELECT org_id, sha256, size FROM attachment
         UNION
         SELECT org_id, sha256, NULL FROM attachment_chunk
         WHERE NOT EXISTS (
             SELECT 1 FROM attachment
             WHERE attachment.org_id = attachment_chunk.org_id
               AND attachment.sha256 = attachment_chunk.sha256)
         ORDER BY 1, 2",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (org_id, sha256, size): (i64, Vec<u8>, Option<i64>) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        if size.is_none()
            || !is_attachment_intact(connection, org_id, &sha256, size.unwrap_or(0), check)?
        {
            return Ok(Some(hex::encode(sha256)));
        }
    }
    Ok(None)
}

/// Whether the chunks of an attachment are complete, and have its size or its hash as `check` wants.
fn is_attachment_intact(
    connection: &Connection,
    org_id: i64,
    sha256: &[u8],
    size: i64,
    check: AttachmentCheck,
) -> rusqlite::Result<bool> {
    let key = (org_id, sha256);
    if check == AttachmentCheck::Sizes {
        let (found, chunks, last): (i64, i64, i64) = connection
            .prepare_cached(
                "SELECT coalesce(sum(length(bytes)), 0), count(*),
                        coalesce(max(number), -1)
                 FROM attachment_chunk WHERE org_id = $1 AND sha256 = $2",
            )?
            .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        return Ok(found == size && chunks == last + 1);
    }
    let mut statement = connection.prepare_cached(
        "SELECT bytes, number FROM attachment_chunk WHERE org_id = $1 AND sha256 = $2
         ORDER BY number",
    )?;
    let mut rows = statement.query(key)?;
    let (mut hasher, mut next) = (Sha256::new(), 0_i64);
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? != next {
            return Ok(false);
        }
        next += 1;
        hasher.update(row.get_ref(0)?.as_blob()?);
    }
    Ok(hasher.finalize()[..] == *sha256)
}
