//! What Cargo compiles.

use std::collections::BTreeSet;
use std::process::Command;

/// Each package that the workspace reaches by these edges of `cargo tree`, with its version and features.
fn packages(edges: &str) -> BTreeSet<String> {
    cargo_tree(&["--workspace", "--edges", edges])
}

fn cargo_tree(arguments: &[&str]) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} {f}"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// A dependency that has one feature more in the tests is compiled again for them, and with it all that
/// depends on it: the AWS SDK takes minutes.
#[test]
fn tests_enable_no_feature_of_a_dependency_that_the_build_does_not() {
    let (built, tested) = (packages("normal,build"), packages("normal,build,dev"));
    assert!(built.iter().any(|package| package.starts_with("aws-sdk-ecs ")), "{built:?}");
    let again: Vec<_> = built.difference(&tested).collect();
    assert!(again.is_empty(), "switch the features of the tests on for the build: {again:#?}");
}

#[test]
fn recorder_has_no_aws_sdk_function_has_no_server_and_command_has_no_lambda_runtime() {
    let has = |packages: &BTreeSet<String>, name: &str| {
        packages.iter().any(|package| package.starts_with(&format!("{name} ")))
    };
    let recorder = cargo_tree(&["--package", "envsnap-recorder", "--edges", "normal,build"]);
    assert!(has(&recorder, "axum") && has(&recorder, "clap"), "{recorder:?}");
    // aws-lc is the cryptography of TLS, which webhooks need.
    let is_sdk = |package: &String| package.starts_with("aws-") && !package.starts_with("aws-lc-");
    assert!(!recorder.iter().any(is_sdk), "{recorder:?}");
    let function = ["--package", "envsnap", "--no-default-features", "--features", "lambda"];
    let function = cargo_tree(&[&function[..], &["--edges", "normal,build"]].concat());
    assert!(has(&function, "aws-sdk-ecs"), "{function:?}");
    for other in ["axum", "rusqlite", "clap", "envsnap-recorder", "envsnap-ecs-standin"] {
        assert!(!has(&function, other), "{other} in {function:?}");
    }
    // The features that the documentation names for `cargo install`.
    let command = ["--package", "envsnap", "--no-default-features", "--features", "cli"];
    let command = cargo_tree(&[&command[..], &["--edges", "normal,build"]].concat());
    assert!(has(&command, "clap") && has(&command, "aws-sdk-ecs"), "{command:?}");
    assert!(!has(&command, "lambda_runtime"), "{command:?}");
}
