//! Requests about the ledger, which only this project's recorder answers.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use super::exchange::RawResponse;
use super::{ApiError, Client};
use crate::api::wire::{LedgerEntries, LedgerEntry, LedgerHead};
use envsnap_model::SignedHead;

impl Client {
    /// The head of the organization's ledger, signed if the recorder has a key.
    ///
    /// # Errors
    /// The server is no recorder, or does not return it.
    pub async fn ledger_head(&self) -> Result<SignedHead, ApiError> {
        let operation = format!("return the head of the ledger of \"{}\"", self.org);
        let found = self.read::<LedgerHead>(&operation, &["ledger", &self.org, "head"], &[]).await;
        let head = found.map_err(explain_missing_ledger)?.document;
        let signature = match (&head.key, &head.signature) {
            (Some(key), Some(signature)) => format!("; key={key}; signature={signature}"),
            _ => String::new(),
        };
        format!("{}{signature}", head.text).parse().map_err(|_| ApiError::Unavailable {
            operation,
            url: self.url(&["ledger", &self.org, "head"]).to_string(),
            reason: format!("\"{}\" is not a head", head.text),
            retry_after: None,
            transient: false,
        })
    }

    /// A page of the ledger's entries that follow entry number `after`; empty after the last entry.
    ///
    /// # Errors
    /// The server is no recorder, or does not return them.
    pub async fn ledger_entries(&self, after: u64) -> Result<Vec<LedgerEntry>, ApiError> {
        let operation = format!("return the ledger of \"{}\"", self.org);
        let query = [("after", after.to_string())];
        let found =
            self.read::<LedgerEntries>(&operation, &["ledger", &self.org, "entries"], &query).await;
        Ok(found.map_err(explain_missing_ledger)?.document.entries)
    }

    /// The file that was reported with an attestation.
    ///
    /// # Errors
    /// There is none, or the server does not return it.
    pub async fn attachment(
        &self,
        flow: &str,
        trail: &str,
        attestation: &str,
    ) -> Result<Vec<u8>, ApiError> {
        let operation = format!("return the file of attestation {attestation}");
        let path = [
            "attestations",
            &self.org,
            flow,
            "trail",
            trail,
            "attestation",
            attestation,
            "evidence",
        ];
        let RawResponse { body, .. } = self
            .for_organization(None)
            .send_to(self.url(&path), &operation, Method::GET, &HeaderMap::new(), None::<&()>)
            .await?;
        Ok(body)
    }
}

/// Explains a status 404: a server that does not know the call keeps no ledger.
fn explain_missing_ledger(error: ApiError) -> ApiError {
    match error {
        ApiError::Rejected { operation, url, status, .. } if status == StatusCode::NOT_FOUND => {
            let message = "it keeps no ledger, as only a recorder of this project does".to_owned();
            ApiError::Rejected { operation, url, status, message }
        }
        error => error,
    }
}
