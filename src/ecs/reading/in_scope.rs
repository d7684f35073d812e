//! Which clusters are in scope, and whether what is in scope exists.

use std::collections::{BTreeMap, HashSet};

use super::pages::all_pages;
use super::{Reader, runs_anything};
use crate::ecs::{CallError, ClusterRef, DESCRIBE_BATCH, EcsApi, EcsError, Progress, Scope, Task};

#[derive(Debug, Clone)]
pub(super) struct ClusterInScope {
    /// What ECS is asked with: the name or ARN that was given, or the ARN that was listed.
    pub(super) id: String,
    pub(super) name: String,
    /// Somebody named it, so that it has to exist.
    pub(super) named: bool,
}

impl<E: EcsApi> Reader<E> {
    /// The clusters in scope, each once. They are listed only where the scope does not name them.
    pub(super) async fn clusters(
        &self,
        scope: &Scope,
        progress: &Progress,
    ) -> Result<Vec<ClusterInScope>, EcsError> {
        let mut clusters = BTreeMap::new();
        let mut listed = 0;
        if scope.clusters.needs_listing() {
            let operation = "list the clusters";
            let arns = all_pages(operation, &self.quota.cluster_reads, progress, |token| {
                self.ecs.list_clusters(token)
            })
            .await?;
            listed = arns.len();
            for arn in arns {
                let cluster: ClusterRef = arn.parse().map_err(|_| EcsError::Call {
                    operation: operation.to_owned(),
                    source: CallError::Malformed(format!("{arn:?} is no cluster's ARN")),
                })?;
                if scope.clusters.selects(cluster.name()) {
                    let name = cluster.name().to_owned();
                    clusters.insert(name.clone(), ClusterInScope { id: arn, name, named: false });
                }
            }
        }
        for cluster in scope.clusters.named() {
            let (id, name) = (cluster.given().to_owned(), cluster.name().to_owned());
            clusters.insert(name.clone(), ClusterInScope { id, name, named: true });
        }
        if clusters.is_empty() {
            let message = if scope.clusters.needs_listing() {
                format!(
                    "None of the {listed} ECS clusters of this account and region is in scope: \
                     check the names and expressions that include and exclude clusters"
                )
            } else {
                "Every cluster that is included by name is excluded again: check the names and \
                 expressions that exclude clusters"
                    .to_owned()
            };
            return Err(EcsError::NothingInScope(message));
        }
        Ok(clusters.into_values().collect())
    }

    /// Those of `clusters` that exist: a deleted cluster may stay listed, and list no task.
    pub(super) async fn existing(
        &self,
        clusters: &[&ClusterInScope],
        progress: &Progress,
    ) -> Result<Vec<String>, EcsError> {
        let mut existing = Vec::with_capacity(clusters.len());
        for batch in clusters.chunks(DESCRIBE_BATCH) {
            let ids: Vec<_> = batch.iter().map(|cluster| cluster.id.clone()).collect();
            self.quota.cluster_reads.take().await;
            Progress::count(&progress.calls, 1);
            let described = self.ecs.describe_clusters(&ids).await.map_err(|source| {
                EcsError::Call { operation: "describe clusters".to_owned(), source }
            })?;
            let alive: HashSet<_> = described
                .iter()
                .filter(|cluster| cluster.status.as_deref() != Some("INACTIVE"))
                .filter_map(|cluster| cluster.arn.parse::<ClusterRef>().ok())
                .map(|cluster| cluster.name().to_owned())
                .collect();
            for cluster in batch {
                if alive.contains(&cluster.name) {
                    existing.push(cluster.name.clone());
                } else if cluster.named {
                    return Err(EcsError::ClusterNotFound { cluster: cluster.id.clone() });
                }
            }
        }
        Ok(existing)
    }

    /// A filter on services left no container. That is honest where a service exists that it
    /// selects, or where there was nothing to leave out.
    pub(super) async fn require_a_service(
        &self,
        scope: &Scope,
        tasks: &[Task],
        clusters: &[ClusterInScope],
        progress: &Progress,
    ) -> Result<(), EcsError> {
        let mut services = 0;
        for cluster in clusters {
            let operation = format!("list the services of cluster \"{}\"", cluster.name);
            let arns = match all_pages(&operation, &self.quota.service_reads, progress, |token| {
                self.ecs.list_services(&cluster.id, token)
            })
            .await
            {
                Err(EcsError::Call { source: CallError::ClusterNotFound, .. })
                    if !cluster.named =>
                {
                    continue;
                }
                arns => arns?,
            };
            services += arns.len();
            // An ARN ends in `service/CLUSTER/NAME`, or in `service/NAME` in its older form.
            let mut names = arns.iter().filter_map(|arn| arn.rsplit('/').next());
            if names.any(|name| scope.services.selects(name)) {
                return Ok(());
            }
        }
        let nothing_to_leave_out = services == 0 && !tasks.iter().any(runs_anything);
        if scope.services.include.is_empty() && nothing_to_leave_out {
            return Ok(());
        }
        Err(nothing_in_scope(
            &format!("No running container and none of the {services} services is in scope"),
            clusters,
        ))
    }
}

pub(super) fn nothing_in_scope(what: &str, clusters: &[ClusterInScope]) -> EcsError {
    const SHOWN: usize = 5;
    let names: Vec<_> = clusters.iter().take(SHOWN).map(|cluster| cluster.name.as_str()).collect();
    let more = match clusters.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    EcsError::NothingInScope(format!(
        "{what} (clusters: {}{more}): check the names and expressions that include and exclude",
        names.join(", ")
    ))
}
