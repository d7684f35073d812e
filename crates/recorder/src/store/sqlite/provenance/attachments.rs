//! Files with attestations: each is stored once in an organization, in chunks.

use rusqlite::params;
use sha2::{Digest as _, Sha256};

use super::super::failure::Failure;
use super::super::ledger::Ledger;
use super::reader::Reader;
use crate::domain::Error;
use crate::domain::provenance::{Attachment, AttachmentFile};
use crate::store::provenance::AttestationQuery;

/// The most bytes of a file in one row of `attachment_chunk`.
const CHUNK_BYTES: usize = 256 << 10;

/// Stores a file, unless the organization has it. What is stored is compared with it: a file that was
/// damaged is mended by reporting it again.
pub(super) fn store(ledger: &Ledger<'_>, file: &AttachmentFile) -> Result<Attachment, Failure> {
    let size = file.content.len() as u64;
    if !is_stored(ledger, file)? {
        let key = params![ledger.org_id, &file.sha256[..]];
        ledger
            .connection
            .prepare_cached("DELETE FROM attachment_chunk WHERE org_id = $1 AND sha256 = $2")?
            .execute(key)?;
        ledger
            .connection
            .prepare_cached(
                "INSERT INTO attachment (org_id, sha256, size) VALUES ($1, $2, $3)
                 ON CONFLICT (org_id, sha256) DO UPDATE SET size = excluded.size",
            )?
            .execute(params![ledger.org_id, &file.sha256[..], i64::try_from(size).unwrap_or(0)])?;
        let mut insert = ledger.connection.prepare_cached(
            "INSERT INTO attachment_chunk (org_id, sha256, number, bytes) VALUES ($1, $2, $3, $4)",
        )?;
        for (number, chunk) in (0_i64..).zip(file.content.chunks(CHUNK_BYTES)) {
            insert.insert(params![ledger.org_id, &file.sha256[..], number, chunk])?;
        }
    }
    let sha256 = hex::encode(file.sha256);
    Ok(Attachment { filename: file.filename.clone(), sha256, size })
}

/// Whether the organization has exactly this content under its hash.
fn is_stored(ledger: &Ledger<'_>, file: &AttachmentFile) -> Result<bool, Failure> {
    let key = params![ledger.org_id, &file.sha256[..]];
    let has_row = ledger
        .connection
        .prepare_cached("SELECT 1 FROM attachment WHERE org_id = $1 AND sha256 = $2 AND size = $3")?
        .exists(params![ledger.org_id, &file.sha256[..], file.content.len()])?;
    if !has_row {
        return Ok(false);
    }
    let mut statement = ledger.connection.prepare_cached(
        "SELECT number, bytes FROM attachment_chunk WHERE org_id = $1 AND sha256 = $2
         ORDER BY number",
    )?;
    let mut rows = statement.query(key)?;
    let mut rest = &file.content[..];
    for number in 0_i64.. {
        let Some(row) = rows.next()? else { break };
        let chunk = row.get_ref(1)?.as_blob().unwrap_or_default();
        if row.get::<_, i64>(0)? != number || chunk.is_empty() || !rest.starts_with(chunk) {
            return Ok(false);
        }
        rest = &rest[chunk.len()..];
    }
    Ok(rest.is_empty())
}

impl Reader<'_> {
    /// The file with an attestation, and the name that it was reported with.
    ///
    /// # Errors
    /// The file does not have the hash that the ledger has of it.
    pub(super) fn attachment(&self, id: &str) -> Result<Option<(String, Vec<u8>)>, Failure> {
        let query = AttestationQuery::Id(id.to_owned());
        let found = self.attestations(&query)?.pop();
        let Some(attachment) = found.and_then(|found| found.attachment) else { return Ok(None) };
        let sha256 = hex::decode(&attachment.sha256).unwrap_or_default();
        let mut content = Vec::with_capacity(usize::try_from(attachment.size).unwrap_or(0));
        let mut statement = self.connection.prepare_cached(
            "SELECT bytes FROM attachment_chunk WHERE org_id = $1 AND sha256 = $2 ORDER BY number",
        )?;
        let mut rows = statement.query(params![self.org_id, sha256])?;
        while let Some(row) = rows.next()? {
            content.extend_from_slice(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
        }
        if Sha256::digest(&content)[..] != sha256 {
            let (id, sha256) = (id.to_owned(), attachment.sha256);
            return Err(Error::AttachmentDamaged { id, sha256 }.into());
        }
        Ok(Some((attachment.filename, content)))
    }
}
