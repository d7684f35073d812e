//! Making a bundle.

use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::archive::ArchiveWriter;
use super::content::Content;
use super::{
    AttachmentRef, HEAD, LEDGER, Ledger, ProofError, SCOPE, Scope, Summary, document_error, report,
    tables,
};
use crate::store::sqlite::SqliteStore;

/// A bundle that can be made of a ledger once its attachments are there.
pub struct Bundle {
    scope: Scope,
    ledger: Ledger,
    content: Content,
    store: SqliteStore,
}

impl Bundle {
    /// Verifies the ledger, and reads from it what ran in the environment and the period of `scope`.
    ///
    /// # Errors
    /// The ledger does not verify, or nothing is recorded of the environment in that period.
    pub async fn new(scope: Scope, ledger: Ledger) -> Result<Self, ProofError> {
        let (content, store) = Content::new(&scope, &ledger).await?;
        Ok(Self { scope, ledger, content, store })
    }

    /// The ledger as a store in memory, without attachments. The environment of the bundle is in use
    /// there also if it is archived.
    pub(super) fn into_store(self) -> SqliteStore {
        self.store
    }

    /// The attachments that the bundle contains, sorted by SHA-256.
    pub fn attachments(&self) -> &[AttachmentRef] {
        self.content.attachments()
    }

    /// Writes the bundle as a tar file. `attachment` gives the content of each of [`Self::attachments`] in
    /// this order.
    ///
    /// # Errors
    /// An attachment is not what was reported, or `target` cannot be written.
    pub fn write(
        &self,
        target: impl Write,
        attachment: impl FnMut(&AttachmentRef) -> io::Result<Vec<u8>>,
    ) -> Result<Summary, ProofError> {
        let mut archive = ArchiveWriter::new(target, self.ledger.recorded_at());
        let summary = self.files(|name, content| archive.add(name, content), attachment)?;
        archive.finish()?;
        Ok(summary)
    }

    /// Makes each file of the bundle, and calls `add` with its name and content, in the order of the bundle.
    pub(super) fn files(
        &self,
        mut add: impl FnMut(&str, &[u8]) -> Result<(), ProofError>,
        mut attachment: impl FnMut(&AttachmentRef) -> io::Result<Vec<u8>>,
    ) -> Result<Summary, ProofError> {
        let Self { scope, ledger, content, .. } = self;
        let (from, to) = content.period();
        let summary = Summary {
            scope: scope.clone(),
            head: ledger.head().clone(),
            head_recorded_at: ledger.recorded_at(),
            from,
            to,
            snapshots: content.spans().len() as u64,
            artifacts: content.artifacts().len() as u64,
            attachments: content.attachments().len() as u64,
            gaps: content.gaps().count() as u64,
        };
        add("README.txt", report::readme(&summary, content).as_bytes())?;
        add("report.html", report::html(&summary, content).as_bytes())?;
        add(SCOPE, &to_pretty_json(SCOPE, scope)?)?;
        add(HEAD, format!("{}\n", ledger.head()).as_bytes())?;
        for (name, table) in [
            ("runs.csv", tables::runs_csv(content)),
            ("events.csv", tables::events_csv(content)),
            ("snapshots.csv", tables::snapshots_csv(content)),
            ("not-covered.csv", tables::gaps_csv(content)),
            ("evidence.csv", tables::evidence_csv(content)),
        ] {
            add(name, &table.map_err(|source| document_error(name, source))?)?;
        }
        for (index, document) in content.snapshots() {
            let name = format!("snapshots/{index}.json");
            add(&name, &to_pretty_json(&name, document)?)?;
        }
        for (fingerprint, document) in content.documents() {
            let name = format!("artifacts/{fingerprint}.json");
            add(&name, &to_pretty_json(&name, document)?)?;
        }
        for file in content.attachments() {
            let problem =
                |problem: String| ProofError::Attachment { sha256: file.sha256.clone(), problem };
            let bytes =
                attachment(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
            if hex::encode(Sha256::digest(&bytes)) != file.sha256 {
                return Err(problem(
                    "has another content: the recorder's file is damaged".to_owned(),
                ));
            }
            add(&format!("attachments/{}", file.sha256), &bytes)?;
        }
        let lines = ledger.to_lines().map_err(|error| document_error(LEDGER, error.into()))?;
        add(LEDGER, &lines)?;
        Ok(summary)
    }
}

/// The content of the JSON file `name`, which ends with a line feed.
fn to_pretty_json(name: &str, document: &impl Serialize) -> Result<Vec<u8>, ProofError> {
    let mut json =
        serde_json::to_vec_pretty(document).map_err(|error| document_error(name, error.into()))?;
    json.push(b'\n');
    Ok(json)
}
