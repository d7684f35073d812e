//! The template, before those who judge templates.

use crate::programs::{ProgramOutput, REGION, ROOT, command};
use crate::release::sam;

/// Of the function, and of the role that it assumes in other accounts.
const TEMPLATES: [&str; 2] = ["template.yaml", "fleet/reader-role.yaml"];

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn sam_finds_the_template_valid() {
    let valid =
        ProgramOutput::wait(sam().args(["validate", "--lint", "--region", REGION])).await.success();
    assert!(valid.contains("is a valid SAM Template"), "{valid}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn cfn_lint_finds_nothing() {
    let lint = ProgramOutput::wait(command("cfn-lint").current_dir(ROOT).args(TEMPLATES)).await;
    assert_eq!(lint.success(), "");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn checkov_finds_nothing_but_what_the_template_says_why_to_skip() {
    for template in TEMPLATES {
        let mut checkov = command("checkov");
        checkov.args(["-f", template, "--compact", "--skip-download"]);
        let found = ProgramOutput::wait(checkov.current_dir(ROOT)).await.success();
        assert!(found.contains("Passed checks: "), "{template}: {found}");
        let skips = skips_with_reasons(template);
        let expected = format!("Failed checks: 0, Skipped checks: {skips}");
        assert!(found.contains(&expected), "{template}: not {expected:?}: {found}");
    }
}

/// How many checks a template skips, each of which it gives a reason for.
fn skips_with_reasons(template: &str) -> usize {
    let template = std::fs::read_to_string(format!("{ROOT}/{template}")).unwrap();
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
    count
}
