//! The documentation: its form, its links, its tables, and that its commands work.

mod commands;
mod markdown;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use envsnap::config::{DefaultValue, FIELDS, Setting, VARIABLES};
use envsnap::report::ErrorKind;
use markdown::Page;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, as a path from the root of the repository.
fn pages() -> Vec<Page> {
    let at_the_top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
    let mut paths: Vec<_> = at_the_top.iter().map(PathBuf::from).collect();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).unwrap();
            Page::parse(path, text)
        })
        .collect()
}

fn page<'a>(pages: &'a [Page], path: &str) -> &'a Page {
    pages.iter().find(|page| page.path == Path::new(path)).unwrap()
}

#[test]
fn readme_has_at_most_150_lines_and_links_to_every_page() {
    let pages = pages();
    let readme = page(&pages, "README.md");
    let lines = readme.text.lines().count();
    assert!(lines <= 150, "{lines} lines");
    let linked: BTreeSet<_> =
        readme.links.iter().filter_map(|link| link.split('#').next()).map(PathBuf::from).collect();
    for page in &pages {
        let is_linked = linked.contains(&page.path) || page.path == readme.path;
        assert!(is_linked, "README.md has no link to {}", page.path.display());
    }
}

#[test]
fn each_docs_page_begins_with_its_audience_and_links_to_all_its_sections() {
    for page in pages().iter().filter(|page| page.path.starts_with("docs")) {
        let name = page.path.display();
        let sections: Vec<_> = page.headings.iter().filter(|h| h.level == 2).collect();
        let contents: Vec<_> =
            page.links.iter().filter(|link| link.starts_with('#')).take(sections.len()).collect();
        let expected: Vec<_> = sections.iter().map(|h| format!("#{}", h.anchor)).collect();
        assert_eq!(contents, expected.iter().collect::<Vec<_>>(), "{name}: its contents");
        let mut paragraphs = page.text.split("\n\n");
        assert!(paragraphs.next().unwrap().starts_with("# "), "{name}");
        assert!(paragraphs.next().unwrap().starts_with("For "), "{name}: who it is for");
        assert!(paragraphs.next().unwrap().starts_with("Contents: "), "{name}");
    }
}

#[test]
fn every_relative_link_has_an_existing_target_and_heading() {
    let pages = pages();
    let mut checked = 0;
    for page in &pages {
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.path.clone() } else { page.resolve(path) };
            let name = format!("{}: {link}", page.path.display());
            assert!(root().join(&target).exists(), "{name}: there is no {}", target.display());
            if !anchor.is_empty() {
                let target = pages.iter().find(|page| page.path == target);
                let headings = &target.unwrap_or_else(|| panic!("{name}: no page")).headings;
                assert!(headings.iter().any(|h| h.anchor == anchor), "{name}: no such heading");
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked}");
}

fn settings_table(kind: &str, settings: &[Setting]) -> String {
    let mut table = format!("| {kind} | default | meaning |\n|---|---|---|\n");
    for Setting { name, default, meaning } in settings {
        let default = match default {
            DefaultValue::Literal(value) => format!("`{value}`"),
            DefaultValue::Described(words) => (*words).to_owned(),
        };
        writeln!(table, "| `{name}` | {default} | {meaning} |").unwrap();
    }
    table
}

/// The page's text with `tables` between its `<!-- generated from … -->` comments.
fn with_generated_tables(text: &str, tables: &[(&str, String)]) -> String {
    let mut text = text.to_owned();
    for (source, table) in tables {
        let begin = format!("<!-- generated from {source} -->\n");
        let (before, rest) = text.split_once(&begin).unwrap();
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        text = format!("{before}{begin}{table}<!-- end -->{after}");
    }
    text
}

/// Compares a page with what it should be, or writes it if `UPDATE_DOCS=1` is in the environment.
fn check_generated(path: &Path, text: &str, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join(path), expected).unwrap();
        return;
    }
    let differs = text.lines().zip(expected.lines()).find(|(is, should)| is != should);
    assert_eq!(differs, None, "`UPDATE_DOCS=1 cargo test --test it docs` writes it");
    assert_eq!(text.len(), expected.len());
}

#[test]
fn commands_page_equals_the_reference_generated_from_help() {
    let path = Path::new("docs/commands.md");
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    check_generated(path, &text, &envsnap::cli::reference());
}

/// The tables between `<!-- generated from … -->` comments.
#[test]
fn tables_of_variables_fields_and_errors_equal_those_generated_from_code() {
    let configuration = [
        ("src/config/table.rs: variables", settings_table("variable", VARIABLES)),
        ("src/config/table.rs: fields", settings_table("field", FIELDS)),
    ];
    let errors = [("src/report/error_kind.rs: errors", ErrorKind::markdown_table())];
    let pages = pages();
    for (path, tables) in
        [("docs/configuration.md", &configuration[..]), ("docs/errors.md", &errors)]
    {
        let page = page(&pages, path);
        let expected = with_generated_tables(&page.text, tables);
        check_generated(&page.path, &page.text, &expected);
    }
}
