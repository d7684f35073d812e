//! The clusters in scope, and whether they exist.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::Reading;
use crate::ecs::{
    CallError, Cluster, ClusterRef, DESCRIBE_BATCH, EcsApi, EcsError, Progress, Scope,
};

/// A cluster to read.
#[derive(Debug, Clone)]
pub(super) struct ClusterInScope {
    /// The id for requests: the name or ARN that was given, or the ARN that was listed.
    pub(super) id: String,
    pub(super) name: String,
    /// The configuration names it, so that it has to exist.
    pub(super) named: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClusterState {
    /// It does not exist, or was deleted.
    Gone,
    Active {
        running_tasks: usize,
    },
}

impl ClusterInScope {
    /// Identifies it within an account and region. An ARN that was given may be of another account,
    /// whatever the name at its end.
    pub(super) fn key(&self) -> &str {
        if self.named { &self.id } else { &self.name }
    }
}

impl<E: EcsApi> Reading<'_, E> {
    /// The clusters in scope, each once. Clusters are only listed if the scope does not name them.
    pub(super) async fn clusters_in_scope(
        &self,
        scope: &Scope,
        progress: &Progress,
    ) -> Result<Vec<ClusterInScope>, EcsError> {
        let mut clusters = BTreeMap::new();
        let mut listed = 0;
        if scope.clusters.needs_listing() {
            let all = self.listed_clusters(progress).await?;
            listed = all.len();
            for cluster in all.iter().filter(|cluster| scope.clusters.selects_cluster(cluster)) {
                let (id, name) = (cluster.given().to_owned(), cluster.name().to_owned());
                clusters.insert(name.clone(), ClusterInScope { id, name, named: false });
            }
        }
        for cluster in scope.clusters.named() {
            let (id, name) = (cluster.given().to_owned(), cluster.name().to_owned());
            clusters.insert(name.clone(), ClusterInScope { id, name, named: true });
        }
        if clusters.is_empty() {
            let message = if scope.clusters.needs_listing() {
                format!("None of the {listed} ECS clusters is in scope")
            } else {
                "Every cluster that is included by name is excluded again".to_owned()
            };
            return Err(EcsError::NothingInScope(message));
        }
        Ok(clusters.into_values().collect())
    }

    /// All clusters of the account, listed once per reading, with those that exist although ECS does
    /// not list them.
    async fn listed_clusters(&self, progress: &Progress) -> Result<Arc<Vec<ClusterRef>>, EcsError> {
        let operation = "list the clusters";
        let list = async || {
            let bucket = &self.reader.quota.cluster_reads;
            let arns = self
                .all_pages(operation, bucket, progress, |token| {
                    self.reader.ecs.list_clusters(token)
                })
                .await?;
            let clusters = arns.into_iter().map(|arn| {
                arn.parse().map_err(|_| EcsError::Call {
                    operation: operation.to_owned(),
                    source: CallError::Malformed(format!("{arn:?} is not the ARN of a cluster")),
                })
            });
            let mut clusters = clusters.collect::<Result<Vec<_>, _>>()?;
            let left_out = self.reader.memory.missing_from(&clusters);
            clusters.extend(self.existing_although_unlisted(left_out, progress).await?);
            self.reader.memory.remember_listed(&clusters);
            Ok(Arc::new(clusters))
        };
        self.listed.get_or_init(list).await.clone()
    }

    /// Those of `clusters` that exist although they are not listed: the listing is eventually
    /// consistent, and trusting it would empty a running cluster. The others are forgotten.
    async fn existing_although_unlisted(
        &self,
        clusters: Vec<ClusterRef>,
        progress: &Progress,
    ) -> Result<Vec<ClusterRef>, EcsError> {
        let mut active = HashSet::new();
        for batch in clusters.chunks(DESCRIBE_BATCH) {
            let ids: Vec<_> = batch.iter().map(|cluster| cluster.given().to_owned()).collect();
            let described = self.describe_clusters(&ids, progress).await?;
            active.extend(described.iter().filter_map(active_name));
        }
        let (exist, gone): (Vec<_>, Vec<_>) =
            clusters.into_iter().partition(|cluster| active.contains(cluster.name()));
        for cluster in &gone {
            self.reader.memory.forget_cluster(cluster);
        }
        for cluster in &exist {
            tracing::warn!(
                cluster = cluster.name(),
                "ECS does not list the cluster, and it exists"
            );
        }
        Ok(exist)
    }

    /// The state of each of `clusters`, by key: a deleted cluster may stay listed, without tasks.
    ///
    /// # Errors
    /// One that is named does not exist, or ECS does not describe them.
    pub(super) async fn cluster_states<'c>(
        &self,
        clusters: &[&'c ClusterInScope],
        progress: &Progress,
    ) -> Result<HashMap<&'c str, ClusterState>, EcsError> {
        let mut known = self.states.lock().await;
        let to_ask: Vec<_> =
            clusters.iter().filter(|cluster| !known.contains_key(cluster.key())).collect();
        for batch in to_ask.chunks(DESCRIBE_BATCH) {
            let ids: Vec<_> = batch.iter().map(|cluster| cluster.id.clone()).collect();
            let described = self.describe_clusters(&ids, progress).await?;
            let active: HashMap<_, _> = described
                .iter()
                .filter_map(|cluster| Some((active_name(cluster)?, cluster.running_tasks)))
                .collect();
            for cluster in batch {
                let state = match active.get(&cluster.name) {
                    Some(&running_tasks) => ClusterState::Active { running_tasks },
                    None => ClusterState::Gone,
                };
                known.insert(cluster.key().to_owned(), state);
            }
        }
        let state = |cluster: &&'c ClusterInScope| {
            (cluster.key(), known.get(cluster.key()).copied().unwrap_or(ClusterState::Gone))
        };
        let states: HashMap<_, _> = clusters.iter().map(state).collect();
        let is_gone = |cluster: &&&ClusterInScope| states[cluster.key()] == ClusterState::Gone;
        match clusters.iter().filter(|cluster| cluster.named).find(is_gone) {
            Some(gone) => Err(EcsError::ClusterNotFound { cluster: gone.id.clone() }),
            None => Ok(states),
        }
    }

    pub(super) async fn describe_clusters(
        &self,
        ids: &[String],
        progress: &Progress,
    ) -> Result<Vec<Cluster>, EcsError> {
        let bucket = &self.reader.quota.cluster_reads;
        self.call("describe clusters", bucket, progress, || self.reader.ecs.describe_clusters(ids))
            .await
    }

    /// Called if a filter that names services matches no running container.
    ///
    /// # Errors
    /// The filter selects no existing service either.
    pub(super) async fn require_service_in_scope(
        &self,
        scope: &Scope,
        clusters: &[ClusterInScope],
        progress: &Progress,
    ) -> Result<(), EcsError> {
        let mut services = 0;
        for cluster in clusters {
            let names = match self.service_names(cluster, progress).await {
                Err(EcsError::Call { source: CallError::ClusterNotFound, .. })
                    if !cluster.named =>
                {
                    continue;
                }
                names => names?,
            };
            services += names.len();
            if names.iter().any(|name| scope.services.selects(name)) {
                return Ok(());
            }
        }
        Err(nothing_in_scope_error(
            &format!("no running container and none of the {services} services is in scope"),
            clusters,
        ))
    }
}

/// The name of a cluster, unless it was deleted.
pub(super) fn active_name(cluster: &Cluster) -> Option<String> {
    let arn: ClusterRef = cluster.arn.parse().ok()?;
    (cluster.status.as_deref() != Some("INACTIVE")).then(|| arn.name().to_owned())
}

/// The error that the scope matches nothing, with the names of its first clusters.
pub(super) fn nothing_in_scope_error(what: &str, clusters: &[ClusterInScope]) -> EcsError {
    const MAX_SHOWN_CLUSTERS: usize = 5;
    let names: Vec<_> =
        clusters.iter().take(MAX_SHOWN_CLUSTERS).map(|cluster| cluster.name.as_str()).collect();
    let more = match clusters.len().saturating_sub(MAX_SHOWN_CLUSTERS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    EcsError::NothingInScope(format!("{what} (clusters: {}{more})", names.join(", ")))
}
