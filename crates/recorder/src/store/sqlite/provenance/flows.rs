//! Reads flows and trails: by name, in pages, and with all that was reported in them.

use std::collections::HashSet;

use envsnap_model::provenance::State;
use rusqlite::{OptionalExtension as _, Row, params};

use super::super::failure::Failure;
use super::super::json::Json;
use super::super::runs::runs_of_fingerprint;
use super::artifacts::MAX_ATTESTATION_BYTES;
use super::projection::template;
use super::reader::{DetailLevel, Reader};
use super::write_flows::{existing_flow, find_flow, find_trail};
use crate::domain::provenance::{
    ArtifactReported, FlowRecord, TrailBegun, TrailChanged, TrailEvent, TrailEventKind,
    TrailRecord, TrailSummary, fields,
};
use crate::domain::{Error, Micros, Page};
use crate::store::provenance::{FlowFilter, TrailFilter};

/// SQL: the columns that `flow_record` reads, of all flows.
const SELECT_FLOW_RECORD: &str =
    "SELECT id, name, description, visibility, template, tags, latest_activity_at,
        (SELECT max(recorded_at) FROM deployment
         WHERE deployment.org_id = flow.org_id AND deployment.flow_id = flow.id)
     FROM flow";

/// SQL: the ids of the trails of the only flow in the JSON array `?2`.
const TRAILS_OF_FLOW: &str = "SELECT id FROM trail
     WHERE org_id = ?1 AND flow_id = ?2 ->> 0 AND ?3 IS NULL";
/// SQL: the ids of the trails of all flows in the JSON array `?2`, through the index by flow.
const TRAILS_OF_FLOWS: &str = "SELECT id FROM trail
     WHERE org_id = ?1 AND flow_id IN (SELECT value FROM json_each(?2)) AND ?3 IS NULL";
/// SQL: the same trails, through the table, which can be read from the latest on.
const LATEST_TRAILS_OF_FLOWS: &str = "SELECT id FROM trail
     WHERE org_id = ?1 AND +flow_id IN (SELECT value FROM json_each(?2)) AND ?3 IS NULL";

/// SQL: the ids of the trails in which the artifact with fingerprint `?3` was reported. Parameters have
/// numbers here, since `$3` would be the second one if it comes second.
const TRAILS_OF_ARTIFACT: &str = "SELECT DISTINCT trail_id AS id FROM artifact_report
     WHERE org_id = ?1 AND fingerprint = ?3 AND trail_id IS NOT NULL
       AND +flow_id IN (SELECT value FROM json_each(?2))";

/// The trails of one flow, of many, or in which an artifact was reported.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum TrailSelection {
    Flow,
    Flows,
    Artifact,
}

impl TrailSelection {
    /// SQL: how many trails there are. Counts the entries of an index.
    pub(in super::super) fn count_query(self) -> String {
        let trails = match self {
            Self::Flow => TRAILS_OF_FLOW,
            Self::Flows => TRAILS_OF_FLOWS,
            Self::Artifact => TRAILS_OF_ARTIFACT,
        };
        format!("SELECT count(*) FROM ({trails})")
    }

    /// SQL: a page of the trails, the newest first.
    pub(in super::super) fn page_query(self) -> String {
        let trails = match self {
            Self::Flow => TRAILS_OF_FLOW,
            // Through the index SQLite would read and sort all trails of all these flows.
            Self::Flows => LATEST_TRAILS_OF_FLOWS,
            Self::Artifact => TRAILS_OF_ARTIFACT,
        };
        format!("{trails} ORDER BY id DESC LIMIT ?4 OFFSET ?5")
    }
}

impl Reader<'_> {
    /// The flow in a row of [`SELECT_FLOW_RECORD`].
    fn flow_record(&self, row: &Row<'_>) -> Result<FlowRecord, Failure> {
        let id = row.get(0)?;
        let Json(tags) = row.get(5)?;
        Ok(FlowRecord {
            name: row.get(1)?,
            description: row.get(2)?,
            visibility: row.get(3)?,
            template: template(row.get(4)?),
            tags,
            repo_url: self.latest_repo_url(id)?,
            latest_activity_at: Micros(row.get(6)?),
            last_deployment_at: row.get::<_, Option<i64>>(7)?.map(Micros),
            latest_state: self.latest_trail_state(id)?,
        })
    }

    /// The URL of the repository that the flow's latest artifact was built from.
    fn latest_repo_url(&self, flow: i64) -> Result<Option<String>, Failure> {
        let Some(seq) = self.latest_report_seq(flow)? else { return Ok(None) };
        let (artifact, _actor): (ArtifactReported, _) = self.entry(seq)?;
        let url = fields(&artifact.details).remove("repo_url");
        Ok(url.and_then(|url| url.as_str().map(str::to_owned)).filter(|url| !url.is_empty()))
    }

    /// The sequence number of the flow's latest artifact report.
    fn latest_report_seq(&self, flow: i64) -> rusqlite::Result<Option<i64>> {
        self.connection
            .prepare_cached(
                "SELECT seq FROM artifact_report WHERE org_id = $1 AND flow_id = $2
                 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([self.org_id, flow], |row| row.get(0))
            .optional()
    }

    /// The state of the flow's latest trail.
    fn latest_trail_state(&self, flow: i64) -> rusqlite::Result<Option<State>> {
        let latest = self
            .connection
            .prepare_cached(
                "SELECT id FROM trail WHERE org_id = $1 AND flow_id = $2 ORDER BY id DESC LIMIT 1",
            )?
            .query_row([self.org_id, flow], |row| row.get(0))
            .optional()?;
        let Some(trail) = latest else { return Ok(None) };
        Ok(Some(self.trail_status(&*self.trail(trail)?)?.state))
    }

    /// The id of the flow that has or had this name.
    pub(super) fn existing_flow(&self, name: &str) -> Result<i64, Failure> {
        existing_flow(self.connection, self.org, self.org_id, name)
    }

    /// The id of the trail with this name.
    pub(super) fn existing_trail(&self, flow: &str, name: &str) -> Result<i64, Failure> {
        let not_found = || {
            let (org, flow, name) = (self.org.to_owned(), flow.to_owned(), name.to_owned());
            Error::TrailNotFound { org, flow, name }
        };
        let flow = find_flow(self.connection, self.org_id, flow)?.ok_or_else(not_found)?;
        let trail = find_trail(self.connection, self.org_id, flow, name)?;
        Ok(trail.ok_or_else(not_found)?)
    }

    pub(super) fn flow_by_name(&self, name: &str) -> Result<FlowRecord, Failure> {
        let id = self.existing_flow(name)?;
        let mut statement = self
            .connection
            .prepare_cached(&format!("{SELECT_FLOW_RECORD} WHERE org_id = $1 AND id = $2"))?;
        let mut rows = statement.query([self.org_id, id])?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        self.flow_record(row)
    }

    /// The flows in use for which `filter` holds, all or a page of them, and how many there are.
    pub(super) fn flows(
        &self,
        filter: &FlowFilter,
        page: Option<Page>,
    ) -> Result<(Vec<FlowRecord>, u64), Failure> {
        let mut statement = self.connection.prepare_cached(&format!(
            "{SELECT_FLOW_RECORD} WHERE org_id = $1 AND archived_at IS NULL"
        ))?;
        let mut rows = statement.query([self.org_id])?;
        let mut flows = Vec::new();
        while let Some(row) = rows.next()? {
            let Json(tags): Json<std::collections::BTreeMap<String, String>> = row.get(5)?;
            if filter.accepts(&row.get::<_, String>(1)?, &tags) {
                flows.push(self.flow_record(row)?);
            }
        }
        flows.sort_by(|a, b| a.name.cmp(&b.name));
        if filter.by_activity {
            flows.sort_by_key(|flow| flow.latest_activity_at);
        }
        if filter.descending {
            flows.reverse();
        }
        let total = flows.len() as u64;
        if let Some(page) = page {
            let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
            flows = flows.into_iter().skip(offset).take(page.size as usize).collect();
        }
        Ok((flows, total))
    }

    /// A page of the trails for which `filter` holds, the newest first, and how many there are.
    pub(super) fn trails(
        &self,
        filter: &TrailFilter,
        page: Page,
    ) -> Result<(Vec<TrailSummary>, u64), Failure> {
        let flows = Json(self.flow_ids_for_trails(filter)?);
        let (trails, parameter) = match &filter.fingerprint {
            Some(_) => (TrailSelection::Artifact, &filter.fingerprint),
            None if flows.0.len() == 1 => (TrailSelection::Flow, &None),
            None => (TrailSelection::Flows, &None),
        };
        let total = self
            .connection
            .prepare_cached(&trails.count_query())?
            .query_row(params![self.org_id, flows, parameter], |row| row.get(0))?;
        let found: Vec<i64> = self
            .connection
            .prepare_cached(&trails.page_query())?
            .query_map(params![self.org_id, flows, parameter, page.size, page.offset()], |row| {
                row.get(0)
            })?
            .collect::<rusqlite::Result<_>>()?;
        let found = found.into_iter().map(|trail| self.trail_summary(trail));
        Ok((found.collect::<Result<_, _>>()?, total))
    }

    /// The ids of the flows whose trails are listed: the one that is named, otherwise all in use.
    fn flow_ids_for_trails(&self, filter: &TrailFilter) -> Result<Vec<i64>, Failure> {
        let only = filter.flow.as_deref().map(|name| self.existing_flow(name)).transpose()?;
        let mut statement = self.connection.prepare_cached(
            "SELECT id, tags FROM flow
             WHERE org_id = $1 AND (id = $2 OR ($2 IS NULL AND archived_at IS NULL))",
        )?;
        let mut rows = statement.query(params![self.org_id, only])?;
        let mut flows = Vec::new();
        while let Some(row) = rows.next()? {
            let Json(tags) = row.get(1)?;
            if FlowFilter::has_tags(&tags, &filter.flow_tags) {
                flows.push(row.get(0)?);
            }
        }
        Ok(flows)
    }

    fn trail_summary(&self, id: i64) -> Result<TrailSummary, Failure> {
        let trail = self.trail(id)?;
        let description = fields(&trail.details).remove("description");
        Ok(TrailSummary {
            name: trail.name.clone(),
            flow: self.flow(trail.flow)?.name.clone(),
            description: description
                .and_then(|it| it.as_str().map(str::to_owned))
                .unwrap_or_default(),
            state: self.trail_status(&trail)?.state,
            created_at: trail.created_at,
        })
    }

    /// A trail with all that was reported in it.
    pub(super) fn trail_by_name(&self, flow: &str, name: &str) -> Result<TrailRecord, Failure> {
        let trail = self.trail(self.existing_trail(flow, name)?)?;
        let (tags, created_by): (Json<_>, String) = self
            .connection
            .prepare_cached(
                "SELECT flow.tags, ledger.actor FROM flow
                 JOIN ledger ON ledger.org_id = flow.org_id
                 WHERE flow.org_id = $1 AND flow.id = $2 AND ledger.seq = $3",
            )?
            .query_row([self.org_id, trail.flow, trail.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let flow = self.flow(trail.flow)?;
        Ok(TrailRecord {
            name: trail.name.clone(),
            flow: flow.name.clone(),
            flow_tags: tags.0,
            flow_id: self.id(trail.flow),
            details: trail.details.clone(),
            template: trail.template.as_deref().or(flow.template.as_deref()).cloned(),
            created_by,
            created_at: trail.created_at,
            changed_at: trail.changed_at,
            status: self.trail_status(&trail)?,
            events: self.trail_events(trail.id)?,
        })
    }

    /// Everything that happened in the trail, the earliest first.
    fn trail_events(&self, trail: i64) -> Result<Vec<TrailEvent>, Failure> {
        let mut events = Vec::new();
        let (begun, _actor): (TrailBegun, _) = self.entry(trail)?;
        let at = self.trail(trail)?.created_at;
        events.push(TrailEvent { at, kind: TrailEventKind::Reported(begun.details) });
        let mut statement = self.connection.prepare_cached(
            "SELECT ledger.seq, ledger.recorded_at FROM trail_change
             JOIN ledger ON ledger.org_id = trail_change.org_id AND ledger.seq = trail_change.seq
             WHERE trail_change.org_id = $1 AND trail_change.trail_id = $2
             ORDER BY trail_change.seq",
        )?;
        let mut rows = statement.query([self.org_id, trail])?;
        while let Some(row) = rows.next()? {
            let (changed, _actor): (TrailChanged, _) = self.entry(row.get(0)?)?;
            let at = Micros(row.get(1)?);
            events.push(TrailEvent { at, kind: TrailEventKind::Updated(changed.details) });
        }
        let mut bytes = 0;
        for attestation in self.attestations_in_trail(trail)? {
            let at = attestation.recorded_at;
            let mut record = self.attestation_record(attestation, DetailLevel::Short)?;
            bytes += record.details.len();
            // What the event is about is in its other fields.
            if bytes > MAX_ATTESTATION_BYTES {
                "{}".clone_into(&mut record.details);
            }
            let record = Box::new(record);
            events.push(TrailEvent { at, kind: TrailEventKind::Attestation(record) });
        }
        let mut seen = HashSet::new();
        for report in self.all_reports_in_trail(trail)? {
            if seen.insert(report.fingerprint.clone()) {
                self.add_run_events(
                    &report.fingerprint,
                    report.template_name.as_deref(),
                    &mut events,
                )?;
            }
            let kind = TrailEventKind::Artifact {
                id: self.id(report.seq),
                fingerprint: report.fingerprint,
                name: report.name,
                template_name: report.template_name,
                commit: report.commit,
            };
            events.push(TrailEvent { at: report.recorded_at, kind });
        }
        events.sort_by_key(|event| event.at);
        Ok(events)
    }

    /// Adds an event for each start and stop of the artifact in an environment.
    fn add_run_events(
        &self,
        fingerprint: &str,
        template_name: Option<&str>,
        events: &mut Vec<TrailEvent>,
    ) -> Result<(), Failure> {
        let event = |started, environment: &str, index, replicas| TrailEventKind::Running {
            started,
            fingerprint: fingerprint.to_owned(),
            template_name: template_name.map(str::to_owned),
            environment: environment.to_owned(),
            index,
            replicas,
        };
        let runs = runs_of_fingerprint(self.connection, self.org_id, fingerprint)?;
        for (number, run) in runs.iter().enumerate() {
            let kind = event(true, &run.environment, run.from_index, run.replicas);
            events.push(TrailEvent { at: run.from, kind });
            let runs_on_from = |index| {
                runs.get(number + 1).is_some_and(|next| {
                    next.environment == run.environment && next.from_index == index
                })
            };
            if let Some((index, at)) = run.to.filter(|(index, _)| !runs_on_from(*index)) {
                events.push(TrailEvent { at, kind: event(false, &run.environment, index, 0) });
            }
        }
        Ok(())
    }
}
