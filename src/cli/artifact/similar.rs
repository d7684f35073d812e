//! Names that a mistyped one may have meant.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{MAX_CONCURRENT_REQUESTS, Pattern};
use crate::api::wire::{Environment, LOGICAL, RecordedSnapshot};
use crate::api::{ApiError, Client, ServerApi as _};
use crate::snapshot::ImageName;

/// Characters that are wrong, missing, additional or swapped in a name that is still similar.
const MAX_EDITS: usize = 2;

/// Similar names that are suggested.
const MAX_SUGGESTIONS: usize = 5;

/// The repositories that run now and resemble `wanted`, the most similar first.
pub(super) async fn similar_names(
    client: &Client,
    environments: &[Environment],
    wanted: &Pattern,
) -> Result<Vec<String>, ApiError> {
    let snapshots: Vec<_> = stream::iter(environments)
        .filter(|environment| std::future::ready(environment.environment_type != LOGICAL))
        .map(async |environment| {
            match client.environment(&environment.name, None).snapshot("-1").await {
                Ok(snapshot) => Ok(Some(snapshot)),
                Err(ApiError::NoSnapshotYet { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(MAX_CONCURRENT_REQUESTS)
        .try_collect()
        .await?;
    let running = snapshots.iter().flatten().flat_map(RecordedSnapshot::running);
    Ok(most_similar(wanted.as_str(), running.map(|artifact| &*artifact.name)))
}

fn most_similar<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = last_part(wanted).to_lowercase();
    let resembling: BTreeSet<_> = names
        .filter_map(|name| {
            let known = last_part(name);
            let edits = strsim::osa_distance(&wanted, &known.to_lowercase());
            // Of a name of two letters every other one is similar.
            (edits <= MAX_EDITS && edits < known.chars().count().min(wanted.chars().count()))
                .then_some((edits, known))
        })
        .collect();
    resembling.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name.to_owned()).collect()
}

/// The last part of a repository: `runner` of `ghcr.io/cyberdojo/runner:16d9990`.
fn last_part(name: &str) -> &str {
    let repository = ImageName::new(name).repository;
    repository.rsplit('/').next().unwrap_or(repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_repositories_within_two_edits_of_a_mistyped_name_are_suggested() {
        let names =
            ["ecr.example/runner:1", "ecr.example/runner:2", "saver:1", "ghcr.io/a/runners"];
        let similar = |wanted: &str| most_similar(wanted, names.into_iter());
        assert_eq!(similar("runer"), ["runner", "runners"]);
        assert_eq!(similar("Ruunner:16d9990"), ["runner", "runners"]);
        assert_eq!(similar("x/savre"), ["saver"]);
        for wanted in ["nginx", "", "*", "ab", "s"] {
            assert_eq!(similar(wanted), [""; 0], "{wanted}");
        }
    }
}
