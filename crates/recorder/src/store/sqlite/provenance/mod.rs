//! Provenance in the file.

mod allowances;
mod artifacts;
mod attachments;
mod card;
mod deployments;
mod flows;
mod join;
mod load;
pub(super) mod projection;
mod reader;
pub(super) mod rename;
mod repeats;
mod repos;
mod rows;
mod write_flows;
mod write_reports;

#[cfg(test)]
pub(super) use artifacts::matches_query;
#[cfg(test)]
pub(super) use flows::TrailSelection;
#[cfg(test)]
pub(super) use join::{DEPLOYMENTS, FIRST_STARTS};
pub(super) use join::{Shown, add_provenance};
#[cfg(test)]
pub(super) use load::{
    attestations_query, entries_query, first_reports_query, flows_query, reports_by_flow_query,
    reports_query, trails_query,
};
use reader::Reader;
pub(super) use repos::artifacts_of_repos;

use super::environments::find_active;
use super::failure::Failure;
use super::ledger::find_org;
use super::{ReadSize, SqliteStore};
use crate::domain::provenance::{
    AllowanceRecord, AllowanceRequest, ArtifactCard, ArtifactRecord, ArtifactReport,
    AttestationRecord, AttestationReport, DeploymentRecord, DeploymentReport, DerivedDeployment,
    FlowRecord, FlowSettings, Saved, SearchResult, TagChange, TrailRecord, TrailReport,
    TrailSummary,
};
use crate::domain::{Error, Head, Micros, Page, SnapshotArtifact};
use crate::store::provenance::{
    ArtifactQuery, AttestationQuery, DeploymentQuery, FlowFilter, ProvenanceStore, TrailFilter,
};

/// So many bytes of an attachment count as one artifact in the size of a write, as they take as long.
const ATTACHMENT_BYTES_PER_ARTIFACT: usize = 4_096;

/// The id used for an organization without a ledger, which no row has.
const NO_ORG: i64 = 0;

impl SqliteStore {
    /// Runs `work`, which reads what an organization's flows reported, on a connection that only reads.
    /// `question` says in the message of an error what was being done.
    async fn read_provenance<T: Send + 'static>(
        &self,
        question: &str,
        org: &str,
        size: ReadSize,
        work: impl FnOnce(&Reader<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let operation = format!("{question} of organization '{org}'");
        let org = org.to_owned();
        self.read_sized(operation, size, move |connection| {
            let org_id = find_org(connection, &org)?.unwrap_or(NO_ORG);
            work(&Reader::new(connection, &org, org_id))
        })
        .await
    }
}

impl ProvenanceStore for SqliteStore {
    async fn save_flow(
        &self,
        org: &str,
        settings: FlowSettings,
        actor: &str,
    ) -> Result<Saved, Error> {
        let operation = format!("save flow '{}' of organization '{org}'", settings.name);
        self.write(operation, org, actor, 0, move |ledger| write_flows::save_flow(ledger, settings))
            .await
    }

    async fn change_tags(
        &self,
        org: &str,
        flow: &str,
        change: TagChange,
        actor: &str,
    ) -> Result<Head, Error> {
        let operation = format!("change the tags of flow '{flow}' of organization '{org}'");
        let flow = flow.to_owned();
        self.write(operation, org, actor, 0, move |ledger| {
            write_flows::change_tags(ledger, &flow, change)
        })
        .await
    }

    async fn rename_flow(
        &self,
        org: &str,
        flow: &str,
        new_name: &str,
        actor: &str,
    ) -> Result<Head, Error> {
        let operation = format!("rename flow '{flow}' of organization '{org}' to '{new_name}'");
        let (flow, new_name) = (flow.to_owned(), new_name.to_owned());
        self.write(operation, org, actor, 0, move |ledger| {
            write_flows::rename_flow(ledger, &flow, &new_name)
        })
        .await
    }

    async fn archive_flow(&self, org: &str, flow: &str, actor: &str) -> Result<Head, Error> {
        let operation = format!("archive flow '{flow}' of organization '{org}'");
        let flow = flow.to_owned();
        self.write(operation, org, actor, 0, move |ledger| write_flows::archive_flow(ledger, &flow))
            .await
    }

    async fn save_trail(
        &self,
        org: &str,
        flow: &str,
        report: TrailReport,
        actor: &str,
    ) -> Result<Saved, Error> {
        let operation =
            format!("save trail '{}' of flow '{flow}' of organization '{org}'", report.name);
        let flow = flow.to_owned();
        self.write(operation, org, actor, 0, move |ledger| {
            write_flows::save_trail(ledger, &flow, report)
        })
        .await
    }

    async fn report_artifact(
        &self,
        org: &str,
        flow: &str,
        report: ArtifactReport,
        actor: &str,
    ) -> Result<Head, Error> {
        let operation = format!("record an artifact of flow '{flow}' of organization '{org}'");
        let flow = flow.to_owned();
        self.write(operation, org, actor, 0, move |ledger| {
            write_reports::report_artifact(ledger, &flow, report)
        })
        .await
    }

    async fn report_attestation(
        &self,
        org: &str,
        flow: &str,
        trail: &str,
        report: AttestationReport,
        actor: &str,
    ) -> Result<Head, Error> {
        let operation = format!(
            "record attestation '{}' in trail '{trail}' of flow '{flow}' of organization '{org}'",
            report.name
        );
        let bytes = report.attachment.as_ref().map_or(0, |file| file.content.len());
        let (flow, trail) = (flow.to_owned(), trail.to_owned());
        self.write(operation, org, actor, bytes / ATTACHMENT_BYTES_PER_ARTIFACT, move |ledger| {
            write_reports::report_attestation(ledger, &flow, &trail, report)
        })
        .await
    }

    async fn report_deployment(
        &self,
        org: &str,
        flow: &str,
        report: DeploymentReport,
        actor: &str,
    ) -> Result<(u32, Head), Error> {
        let operation = format!("record a deployment of flow '{flow}' of organization '{org}'");
        let flow = flow.to_owned();
        self.write(operation, org, actor, 0, move |ledger| {
            write_reports::report_deployment(ledger, &flow, &report)
        })
        .await
    }

    async fn allow(
        &self,
        org: &str,
        request: AllowanceRequest,
        actor: &str,
    ) -> Result<Head, Error> {
        let operation = format!("allow an artifact of organization '{org}'");
        self.write(operation, org, actor, 0, move |ledger| allowances::allow(ledger, request)).await
    }

    async fn withdraw_allowance(&self, org: &str, id: &str, actor: &str) -> Result<Head, Error> {
        let operation = format!("withdraw allowance {id} of organization '{org}'");
        let id = id.to_owned();
        self.write(operation, org, actor, 0, move |ledger| allowances::withdraw(ledger, &id)).await
    }

    async fn flow(&self, org: &str, name: &str) -> Result<FlowRecord, Error> {
        let (question, name) = (format!("read flow '{name}'"), name.to_owned());
        self.read_provenance(&question, org, ReadSize::Small, move |reader| {
            reader.flow_by_name(&name)
        })
        .await
    }

    async fn flows(
        &self,
        org: &str,
        filter: FlowFilter,
        page: Option<Page>,
    ) -> Result<(Vec<FlowRecord>, u64), Error> {
        self.read_provenance("list the flows", org, ReadSize::Large, move |reader| {
            reader.flows(&filter, page)
        })
        .await
    }

    async fn trail(&self, org: &str, flow: &str, name: &str) -> Result<TrailRecord, Error> {
        let question = format!("read trail '{name}' of flow '{flow}'");
        let (flow, name) = (flow.to_owned(), name.to_owned());
        self.read_provenance(&question, org, ReadSize::Small, move |reader| {
            reader.trail_by_name(&flow, &name)
        })
        .await
    }

    async fn trails(
        &self,
        org: &str,
        filter: TrailFilter,
        page: Page,
    ) -> Result<(Vec<TrailSummary>, u64), Error> {
        self.read_provenance("list the trails", org, ReadSize::Large, move |reader| {
            reader.trails(&filter, page)
        })
        .await
    }

    async fn artifacts(
        &self,
        org: &str,
        query: ArtifactQuery,
    ) -> Result<Vec<ArtifactRecord>, Error> {
        let question = format!("read artifacts of flow '{}'", query.flow);
        self.read_provenance(&question, org, ReadSize::Small, move |reader| {
            reader.artifacts(&query)
        })
        .await
    }

    async fn list_artifacts(
        &self,
        org: &str,
        flow: Option<&str>,
        repo: Option<&str>,
        page: Page,
    ) -> Result<(Vec<ArtifactRecord>, u64), Error> {
        let (flow, repo) = (flow.map(str::to_owned), repo.map(str::to_owned));
        self.read_provenance("list the artifacts", org, ReadSize::Large, move |reader| {
            reader.list_artifacts(flow.as_deref(), repo.as_deref(), page)
        })
        .await
    }

    async fn latest_commit(
        &self,
        org: &str,
        flow: &str,
        branch: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let (flow, branch) = (flow.to_owned(), branch.map(str::to_owned));
        self.read_provenance("read the latest commit", org, ReadSize::Small, move |reader| {
            reader.latest_commit(&flow, branch.as_deref())
        })
        .await
    }

    async fn attestations(
        &self,
        org: &str,
        query: AttestationQuery,
    ) -> Result<Vec<AttestationRecord>, Error> {
        self.read_provenance("read attestations", org, ReadSize::Small, move |reader| {
            reader.attestations(&query)
        })
        .await
    }

    async fn attachment(&self, org: &str, id: &str) -> Result<Option<(String, Vec<u8>)>, Error> {
        let id = id.to_owned();
        self.read_provenance("read an attachment", org, ReadSize::Large, move |reader| {
            reader.attachment(&id)
        })
        .await
    }

    async fn deployments(
        &self,
        org: &str,
        query: DeploymentQuery,
    ) -> Result<Vec<DeploymentRecord>, Error> {
        self.read_provenance("read deployments", org, ReadSize::Small, move |reader| match &query {
            DeploymentQuery::OfFlow(flow) => reader.deployments_by_flow(flow),
            DeploymentQuery::To(environment) => reader.deployments_to(environment),
        })
        .await
    }

    async fn derived_deployments(
        &self,
        org: &str,
        environment: &str,
        from: Micros,
        until: Micros,
    ) -> Result<Vec<DerivedDeployment>, Error> {
        let question = format!("derive the deployments to '{environment}'");
        let environment = environment.to_owned();
        self.read_provenance(&question, org, ReadSize::Large, move |reader| {
            reader.derived_deployments(&environment, from, until)
        })
        .await
    }

    async fn allowances(&self, org: &str) -> Result<Vec<AllowanceRecord>, Error> {
        let list = |reader: &Reader<'_>| reader.allowances();
        self.read_provenance("list what is allowed", org, ReadSize::Small, list).await
    }

    async fn search(&self, org: &str, digits: &str) -> Result<SearchResult, Error> {
        let digits = digits.to_owned();
        self.read_provenance("search", org, ReadSize::Small, move |reader| reader.search(&digits))
            .await
    }

    async fn has_provenance(&self, org: &str) -> Result<bool, Error> {
        let question = "look for artifacts of flows";
        self.read_provenance(question, org, ReadSize::Small, |reader| Ok(reader.has_reports()?))
            .await
    }

    async fn add_provenance(
        &self,
        org: &str,
        environment: &str,
        mut artifacts: Vec<SnapshotArtifact>,
    ) -> Result<Vec<SnapshotArtifact>, Error> {
        let question = format!("read the provenance of what runs in '{environment}'");
        let environment = environment.to_owned();
        self.read_provenance(&question, org, ReadSize::Large, move |reader| {
            let Reader { connection, org, org_id, .. } = *reader;
            let environment_id = find_active(connection, org, &environment)?.id;
            let shown = Shown {
                org_id,
                environment_id,
                environment: &environment,
                entries: None,
                origins: None,
            };
            add_provenance(connection, shown, &mut artifacts)?;
            Ok(artifacts)
        })
        .await
    }

    async fn artifact_card(&self, org: &str, fingerprint: &str) -> Result<ArtifactCard, Error> {
        let question = format!("read artifact {fingerprint}");
        let fingerprint = fingerprint.to_owned();
        self.read_provenance(&question, org, ReadSize::Small, move |reader| {
            reader.artifact_card(&fingerprint)
        })
        .await
    }

    async fn artifacts_by_name(
        &self,
        org: &str,
        text: &str,
        most: usize,
    ) -> Result<(Vec<ArtifactRecord>, bool), Error> {
        let text = text.to_lowercase();
        self.read_provenance("search", org, ReadSize::Large, move |reader| {
            reader.artifacts_by_name(&text, most)
        })
        .await
    }
}

#[cfg(test)]
pub(super) mod tests;
