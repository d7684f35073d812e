//! The template, before those who judge templates.

use crate::programs::{Ended, REGION, ROOT, command};
use crate::release::sam;

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn sam_finds_the_template_valid() {
    let valid = Ended::of(sam().args(["validate", "--lint", "--region", REGION])).await.well();
    assert!(valid.contains("is a valid SAM Template"), "{valid}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn cfn_lint_finds_nothing() {
    let lint = Ended::of(command("cfn-lint").current_dir(ROOT).arg("template.yaml")).await;
    assert_eq!(lint.well(), "");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn checkov_finds_nothing_but_what_the_template_says_why_to_skip() {
    let mut checkov = command("checkov");
    checkov.args(["-f", "template.yaml", "--compact", "--quiet", "--skip-download"]);
    let found = Ended::of(checkov.current_dir(ROOT)).await.well();

    let template = std::fs::read_to_string(format!("{ROOT}/template.yaml")).unwrap();
    let lines: Vec<_> = template.lines().map(str::trim).collect();
    let skips = lines.iter().enumerate().filter(|(_, line)| line.starts_with("- id: CKV"));
    let mut count = 0;
    for (at, skip) in skips {
        count += 1;
        let reason: String = match lines[at + 1].strip_prefix("comment:").map(str::trim) {
            Some(">-") => {
                lines[at + 2..].iter().take_while(|l| !l.ends_with(':')).copied().collect()
            }
            Some(reason) => reason.to_owned(),
            None => panic!("{skip} has no comment"),
        };
        assert!(reason.split(' ').count() > 3, "{skip} does not say why: {reason:?}");
    }
    let expected = format!("Failed checks: 0, Skipped checks: {count}");
    assert!(found.contains(&expected), "not {expected:?}: {found}");
}
