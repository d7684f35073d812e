//! What Cargo compiles.

use std::collections::BTreeSet;
use std::process::Command;

/// Each package that these edges reach, with its version and features.
fn packages(edges: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--offline", "--prefix", "none"])
        .args(["--format", "{p} {f}", "--edges", edges])
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
fn the_tests_compile_no_dependency_a_second_time() {
    let (built, tested) = (packages("normal,build"), packages("normal,build,dev"));
    assert!(built.iter().any(|package| package.starts_with("aws-sdk-ecs ")), "{built:?}");
    let again: Vec<_> = built.difference(&tested).collect();
    assert!(again.is_empty(), "switch the features of the tests on for the build: {again:#?}");
}
