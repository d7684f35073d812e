//! Results of tests, in the format of `JUnit`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use roxmltree::{Document, Node};
use serde::Serialize;

use crate::recorder::text::pluralize;

/// The results of a suite of tests, in the API's form. Tests are counted, and not read from its
/// attributes, which may be wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Suite {
    name: String,
    failures: u64,
    errors: u64,
    skipped: u64,
    total: u64,
    /// In seconds.
    duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
}

/// The suites in all files that were read.
pub(super) struct TestResults {
    pub(super) suites: Vec<Suite>,
    pub(super) files: Vec<PathBuf>,
}

/// The results in a file, or in every file under a directory whose name ends in `.xml`.
///
/// # Errors
/// There is none, or one is not in this format: a report of no test would read as if all passed.
pub(super) fn read(path: &Path) -> anyhow::Result<TestResults> {
    let shown = path.display();
    let mut files = Vec::new();
    if fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.is_dir() {
        find_xml_files(path, &mut files).with_context(|| format!("cannot read {shown}"))?;
        files.sort();
        if files.is_empty() {
            bail!("there is no file *.xml in {shown}. Give the directory that the tests write to");
        }
    } else {
        files.push(path.to_owned());
    }
    let mut suites = Vec::new();
    for file in &files {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let found = parse_suites(&text).with_context(|| {
            format!("{} is not a report of tests in JUnit's format", file.display())
        })?;
        suites.extend(found);
    }
    let has_results = |suite: &Suite| suite.total > 0 || suite.errors > 0;
    if !suites.iter().any(has_results) {
        bail!("there are no tests in {shown}. Reported, they would read as if all had passed");
    }
    Ok(TestResults { suites, files })
}

impl TestResults {
    /// How many tests there are in how many files, and how many of them failed or were skipped.
    pub(super) fn summary(&self) -> String {
        let sum = |count: fn(&Suite) -> u64| self.suites.iter().map(count).sum::<u64>();
        let tests = match sum(|suite| suite.total) {
            1 => "1 test".to_owned(),
            count => format!("{count} tests"),
        };
        format!(
            "{tests} in {}: {} failed, {} in error, {} skipped.",
            pluralize(self.files.len(), "file"),
            sum(|suite| suite.failures),
            sum(|suite| suite.errors),
            sum(|suite| suite.skipped)
        )
    }
}

/// Adds every `*.xml` under a directory to `files`, without following links.
fn find_xml_files(directory: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        // A link could lead back.
        if kind.is_dir() {
            find_xml_files(&path, files)?;
        } else if kind.is_file()
            && path.extension().is_some_and(|it| it.eq_ignore_ascii_case("xml"))
        {
            files.push(path);
        }
    }
    Ok(())
}

/// The suites in a document whose root is `testsuites` or `testsuite`.
fn parse_suites(text: &str) -> anyhow::Result<Vec<Suite>> {
    let document = Document::parse(text.trim_start_matches('\u{feff}'))?;
    let root = document.root_element();
    if !["testsuite", "testsuites"].contains(&root.tag_name().name()) {
        bail!("the root element is {}, not testsuites or testsuite", root.tag_name().name());
    }
    let suites = document.descendants().filter(|node| node.has_tag_name("testsuite"));
    Ok(suites.filter_map(parse_suite).collect())
}

/// The results of a `testsuite` element; `None` if it only holds other suites.
fn parse_suite(node: Node<'_, '_>) -> Option<Suite> {
    let children = |name: &'static str| node.children().filter(move |it| it.has_tag_name(name));
    let cases: Vec<_> = children("testcase").collect();
    if cases.is_empty() && children("testsuite").next().is_some() {
        return None;
    }
    let count = |name: &str| {
        let has = |case: &&Node<'_, '_>| case.children().any(|it| it.has_tag_name(name));
        u64::try_from(cases.iter().filter(has).count()).unwrap_or(u64::MAX)
    };
    let seconds = |node: Node<'_, '_>| {
        let time: f64 = node.attribute("time")?.replace(',', "").parse().ok()?;
        Some(time).filter(|time| time.is_finite())
    };
    // An error outside a test: a class that could not be set up.
    let outside = u64::from(children("error").next().is_some());
    Some(Suite {
        name: node.attribute("name").unwrap_or_default().to_owned(),
        failures: count("failure"),
        errors: count("error") + outside,
        skipped: count("skipped"),
        total: u64::try_from(cases.len()).unwrap_or(u64::MAX),
        duration: seconds(node)
            .unwrap_or_else(|| cases.iter().filter_map(|case| seconds(*case)).sum()),
        timestamp: node.attribute("timestamp").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_failed_errored_and_skipped_testcases_are_counted_per_suite() {
        let suites = parse_suites(
            r#"<?xml version="1.0"?>
            <testsuites><testsuite name="all">
              <testsuite name="a" time="1,234.5" failures="0" timestamp="2022-08-22T09:35:00">
                <testcase name="1"/><testcase name="2"><failure>no</failure></testcase>
                <testcase name="3"><error/></testcase><testcase name="4"><skipped/></testcase>
              </testsuite>
              <testsuite name="b"><testcase name="1" time="0.25"/><testcase time="0.5"/></testsuite>
            </testsuite></testsuites>"#,
        )
        .unwrap();
        let figures: Vec<_> = suites
            .iter()
            .map(|it| (&*it.name, it.failures, it.errors, it.skipped, it.total, it.duration))
            .collect();
        assert_eq!(figures, [("a", 1, 1, 1, 4, 1234.5), ("b", 0, 0, 0, 2, 0.75)]);
    }

    #[test]
    fn directory_without_xml_files_and_file_that_is_not_junit_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let error = |path: &Path| format!("{:#}", read(path).err().unwrap());
        assert!(error(directory.path()).contains("no file *.xml in"));
        let file = directory.path().join("a.xml");
        for text in ["", "<html/>", "<testsuite>", "{}"] {
            fs::write(&file, text).unwrap();
            assert!(error(directory.path()).contains("not a report of tests"), "{text}");
        }
        for text in ["<testsuites/>", "<testsuite name='a'/>"] {
            fs::write(&file, text).unwrap();
            assert!(error(directory.path()).contains("there are no tests in"), "{text}");
        }
        assert!(error(&directory.path().join("none")).contains("cannot read"));
    }

    #[test]
    fn summary_counts_tests_files_failures_errors_and_skipped_tests() {
        let directory = tempfile::tempdir().unwrap();
        let failed = "<testsuite><testcase/><testcase><failure/></testcase></testsuite>";
        fs::write(directory.path().join("a.xml"), failed).unwrap();
        let skipped = "<testsuite><testcase><skipped/></testcase><error/></testsuite>";
        fs::write(directory.path().join("b.xml"), skipped).unwrap();
        let summary = read(directory.path()).unwrap().summary();
        assert_eq!(summary, "3 tests in 2 files: 1 failed, 1 in error, 1 skipped.");
    }
}
