//! Events of the artifacts that were built from some repositories.

use envsnap_model::expression::Interval;

use super::failure::Failure;
use super::provenance;
use super::snapshots::History;
use crate::domain::{EventPage, Page};

impl History<'_> {
    /// A page of the events in `interval`, latest first unless `ascending`, of artifacts that were reported
    /// with one of these repositories. Takes time in proportion to all artifacts that ever ran in the
    /// environment, but reads no snapshot that has no event on the page.
    pub(super) fn event_page_of_repos(
        &self,
        repos: &[String],
        interval: &Interval,
        page: Page,
        ascending: bool,
    ) -> Result<EventPage, Failure> {
        let Some(indexes) = interval.resolve(self)? else {
            return Ok(EventPage { events: Vec::new(), total: 0 });
        };
        let wanted = provenance::artifacts_of_repos(
            self.connection,
            self.org_id,
            self.environment_id,
            repos,
        )?;
        // The snapshot of each event, in the order of the answer.
        let mut snapshots = Vec::new();
        for artifact in wanted.values() {
            snapshots.extend(self.snapshots_of_events(*artifact)?);
        }
        snapshots.retain(|index| indexes.contains(index));
        snapshots.sort_unstable();
        if !ascending {
            snapshots.reverse();
        }
        let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        let (mut events, mut before) = (Vec::new(), 0);
        for of_snapshot in snapshots.chunk_by(|one, other| one == other) {
            let skipped = offset.saturating_sub(before);
            before += of_snapshot.len();
            if skipped >= of_snapshot.len() {
                continue;
            }
            let mut found = self.events(of_snapshot[0], of_snapshot[0])?;
            found.retain(|event| {
                let fingerprint = event.artifact.fingerprint.map(|it| it.to_string());
                fingerprint.is_some_and(|it| wanted.contains_key(&it))
            });
            if !ascending {
                found.reverse();
            }
            events.extend(found.into_iter().skip(skipped));
            if events.len() >= size {
                break;
            }
        }
        events.truncate(size);
        self.add_provenance(events.iter_mut().map(|event| &mut event.artifact), None, None)?;
        Ok(EventPage { events, total: snapshots.len() as u64 })
    }

    /// The indexes of the snapshots with which the artifact started, exited or changed its replicas, ascending.
    fn snapshots_of_events(&self, artifact: i64) -> rusqlite::Result<Vec<u32>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT from_index, to_index FROM interval
             WHERE org_id = $1 AND artifact_id = $2 AND environment_id = $3
             ORDER BY from_index",
        )?;
        let mut rows = statement.query([self.org_id, artifact, self.environment_id])?;
        let mut indexes: Vec<u32> = Vec::new();
        while let Some(row) = rows.next()? {
            let (from, to): (u32, Option<u32>) = (row.get(0)?, row.get(1)?);
            // The one before ended with a change of replicas, not with an exit.
            if indexes.last() == Some(&from) {
                indexes.pop();
            }
            indexes.push(from);
            indexes.extend(to.map(|to| to.saturating_add(1)));
        }
        Ok(indexes)
    }
}

#[cfg(test)]
mod tests {
    use envsnap_model::expression::Interval;

    use super::super::provenance::tests::{artifact, details};
    use super::super::tests::Fixture;
    use crate::domain::provenance::ArtifactReport;
    use crate::domain::{Event, EventPage, Page};
    use crate::store::Store as _;
    use crate::store::provenance::ProvenanceStore as _;

    /// Snapshots in which artifacts 1 to 4 start, change and exit. Two are of repository `acme/web`, one by
    /// its name and one by its URL; one is of another, and one was never reported.
    async fn environment_with_repositories() -> Fixture {
        let fixture = Fixture::in_memory();
        fixture.create("prod").await;
        for (number, repo) in [
            (1, r#"{"repo_info":{"name":"acme/web"}}"#),
            (2, r#"{"repo_url":"https://github.com/acme/web"}"#),
            (3, r#"{"repo_info":{"name":"acme/api"},"repo_url":"https://github.com/acme/api"}"#),
        ] {
            let report = ArtifactReport { details: details(repo), ..artifact(number, "t") };
            fixture.store.report_artifact("acme", "runner", report, "ci").await.unwrap();
        }
        let reports: [&[(u8, u64)]; 6] = [
            &[(1, 1), (3, 1)],
            &[(1, 2), (2, 1), (3, 1), (4, 1)],
            &[(3, 2), (4, 1)],
            &[(1, 1), (2, 1), (4, 1)],
            &[(1, 1), (2, 3), (3, 1)],
            &[],
        ];
        for running in reports {
            fixture.report("prod", running).await;
            fixture.advance(60);
        }
        fixture
    }

    impl Fixture {
        async fn events_of(
            &self,
            repos: &[&str],
            interval: &str,
            page: Page,
            ascending: bool,
        ) -> EventPage {
            let repos = repos.iter().map(|&repo| repo.to_owned()).collect();
            let interval = interval.parse().unwrap();
            let found =
                self.store.events_of_repos("acme", "prod", repos, interval, page, ascending);
            found.await.unwrap()
        }

        /// Those of all events in `interval` that are of artifacts with these names.
        async fn events_by_name(
            &self,
            names: &[&str],
            interval: &str,
            ascending: bool,
        ) -> Vec<Event> {
            let (interval, page) = (interval.parse::<Interval>().unwrap(), whole());
            let found = self.store.events("acme", "prod", interval, page, ascending).await.unwrap();
            let is_wanted = |event: &Event| names.contains(&&*event.artifact.name);
            found.events.into_iter().filter(is_wanted).collect()
        }
    }

    fn whole() -> Page {
        Page { number: 1, size: 100 }
    }

    #[tokio::test]
    async fn events_of_repositories_are_those_of_their_artifacts_on_every_page() {
        let fixture = environment_with_repositories().await;
        let cases: [(&[&str], &[&str], usize); 4] = [
            (&["acme/web"], &["image:1", "image:2"], 10),
            (&["acme/api"], &["image:3"], 5),
            (&["acme/none"], &[], 0),
            (&["acme/api", "acme/none", "acme/web"], &["image:1", "image:2", "image:3"], 15),
        ];
        for (repos, names, count) in cases {
            for (interval, ascending) in
                [("1..NOW", false), ("1..NOW", true), ("2..3", false), ("4..4", true)]
            {
                let expected = fixture.events_by_name(names, interval, ascending).await;
                let found = fixture.events_of(repos, interval, whole(), ascending).await;
                assert_eq!(found.events, expected, "{repos:?} {interval} {ascending}");
                assert_eq!(found.total, expected.len() as u64);
                for size in 1..=4 {
                    let mut all = Vec::new();
                    for number in 1..=16 {
                        let page = Page { number, size };
                        let found = fixture.events_of(repos, interval, page, ascending).await;
                        assert_eq!(found.total, expected.len() as u64);
                        all.extend(found.events);
                    }
                    assert_eq!(all, expected, "{repos:?} {interval} {ascending} by {size}");
                }
            }
            let all = fixture.events_of(repos, "1..NOW", whole(), false).await;
            assert_eq!(all.events.len(), count, "{repos:?}");
            assert!(all.events.iter().all(|event| event.artifact.provenance.is_some()));
        }
    }
}
