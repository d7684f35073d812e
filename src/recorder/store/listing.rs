//! The environments of an organization.

use rusqlite::named_params;

use super::environments::{SELECT, environment};
use super::json::Json;
use super::{Page, Store, StoreError};
use crate::api::wire::Environment;

/// Which environments are listed, and in which order.
#[derive(Debug, Clone, Default)]
pub(in crate::recorder) struct Listing {
    /// Part of the name, in any case.
    pub(in crate::recorder) name: Option<String>,
    /// Of one of these types; of any where there are none.
    pub(in crate::recorder) types: Vec<String>,
    pub(in crate::recorder) sort: Sort,
    pub(in crate::recorder) descending: bool,
}

/// What environments are sorted by; those that are equal in it, by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::recorder) enum Sort {
    #[default]
    Name,
    LastModifiedAt,
    /// Those that never changed come last, in either direction.
    LastChangedAt,
}

impl Listing {
    fn order(&self) -> &'static str {
        match (self.sort, self.descending) {
            (Sort::Name, false) => "name",
            (Sort::Name, true) => "name DESC",
            (Sort::LastModifiedAt, false) => "last_modified_at, name",
            (Sort::LastModifiedAt, true) => "last_modified_at DESC, name",
            (Sort::LastChangedAt, false) => "last_changed_at NULLS LAST, name",
            (Sort::LastChangedAt, true) => "last_changed_at DESC NULLS LAST, name",
        }
    }
}

const WHERE: &str = "
    WHERE org = :org AND archived_at IS NULL
      AND (:name IS NULL OR instr(lower(name), lower(:name)) > 0)
      AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))";

impl Store {
    /// The environments of `org` that are meant, all of them or one page, and how many there are.
    pub(in crate::recorder) async fn environments(
        &self,
        org: String,
        listing: Listing,
        page: Option<Page>,
    ) -> Result<(Vec<Environment>, u64), StoreError> {
        let operation = format!("list the environments of organization '{org}'");
        self.read(operation, move |connection| {
            let transaction = connection.transaction()?;
            let types = (!listing.types.is_empty()).then_some(Json(&listing.types));
            let count = transaction
                .prepare_cached(&format!("SELECT count(*) FROM environment {WHERE}"))?
                .query_row(
                    named_params! {":org": org, ":name": listing.name, ":types": types},
                    |row| row.get(0),
                )?;
            let order = listing.order();
            let environments = transaction
                .prepare_cached(&format!(
                    "{SELECT} {WHERE} ORDER BY {order} LIMIT :limit OFFSET :offset"
                ))?
                .query_map(
                    named_params! {
                        ":org": org,
                        ":name": listing.name,
                        ":types": types,
                        // All of them, where it is negative.
                        ":limit": page.map_or(-1, |page| i64::from(page.size)),
                        ":offset": page.map_or(0, |page| i64::try_from(page.offset()).unwrap_or(i64::MAX)),
                    },
                    environment,
                )?
                .collect::<rusqlite::Result<_>>()?;
            Ok((environments, count))
        })
        .await
    }
}
