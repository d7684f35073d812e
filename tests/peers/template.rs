//! The AWS templates pass `sam validate`, `cfn-lint` and `checkov`.

use crate::programs::{ProgramOutput, REGION, ROOT, command};
use crate::release::sam;

/// The templates of the function, and of the role that it assumes in other accounts.
const TEMPLATES: [&str; 2] = ["template.yaml", "fleet/reader-role.yaml"];

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn sam_validate_accepts_the_template() {
    let output =
        ProgramOutput::run(sam().args(["validate", "--lint", "--region", REGION])).await.success();
    assert!(output.contains("is a valid SAM Template"), "{output}");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn cfn_lint_has_no_findings() {
    let lint = ProgramOutput::run(command("cfn-lint").current_dir(ROOT).args(TEMPLATES)).await;
    assert_eq!(lint.success(), "");
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn checkov_fails_no_check_and_skips_only_those_with_a_reason() {
    for template in TEMPLATES {
        let mut checkov = command("checkov");
        checkov.args(["-f", template, "--compact", "--skip-download"]);
        let output = ProgramOutput::run(checkov.current_dir(ROOT)).await.success();
        assert!(output.contains("Passed checks: "), "{template}: {output}");
        let skips = count_skipped_checks(template);
        let expected = format!("Failed checks: 0, Skipped checks: {skips}");
        assert!(output.contains(&expected), "{template}: not {expected:?}: {output}");
    }
}

/// The number of checks that a template skips. Panics if it gives no reason for one of them.
fn count_skipped_checks(template: &str) -> usize {
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
