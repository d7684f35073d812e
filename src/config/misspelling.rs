//! Finds misspelt variables and fields.

use super::VARIABLES;

/// Only variables with these prefixes are checked: others may belong to other programs.
const CHECKED_PREFIXES: [&str; 2] = ["ECS_", "KOSLI_"];

/// Variables of the `kosli` client, one for each of its flags, that resemble one of ours.
///
/// The agent of ECS has one too, `ECS_CLUSTER`. It is not in this list: the agent reads it on its host
/// and passes it to no container, and here it is the likeliest mistake of all.
const KOSLI_CLIENT_VARIABLES: [&str; 3] = ["KOSLI_SHORT", "KOSLI_SORT", "KOSLI_TAG"];

/// How many wrong, missing, additional or swapped characters a misspelling has at most.
const MAX_EDITS: usize = 2;

/// The one of `known` that `name` resembles most, ignoring case; `None` if it resembles none.
pub(super) fn most_similar<'k>(
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let name = name.to_ascii_uppercase();
    known
        .into_iter()
        .map(|known| (strsim::osa_distance(&name, &known.to_ascii_uppercase()), known))
        .filter(|(edits, _)| *edits <= MAX_EDITS)
        .min()
        .map(|(_, known)| known)
}

/// A problem and its remedy for each of `names`, the variables that are set, that seems to be one
/// of ours misspelt.
pub fn misspelt_variables<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let known: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    let mut problems = Vec::new();
    for name in names {
        let upper = name.to_ascii_uppercase();
        let candidate = CHECKED_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
        if !candidate || known.contains(&name) || KOSLI_CLIENT_VARIABLES.contains(&name) {
            continue;
        }
        if let Some(known) = most_similar(name, known.iter().copied()) {
            problems.push(format!(
                "{name} is set, but envsnap has no such variable: rename it to {known}, or remove it."
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_variable_is_reported_with_the_variable_that_it_resembles() {
        for (name, known) in [
            ("ECS_CLUSTER", "ECS_CLUSTERS"),
            ("ECS_CLSUTERS", "ECS_CLUSTERS"),
            ("ecs_clusters", "ECS_CLUSTERS"),
            ("ECS_CLUSTERS_REGEXP", "ECS_CLUSTERS_REGEX"),
            ("ECS_SERVICE", "ECS_SERVICES"),
            ("ECS_EXCLUDES", "ECS_EXCLUDE"),
            ("ECS_EXCLUDE_SERVICE", "ECS_EXCLUDE_SERVICES"),
            ("KOSLI_ENVIROMENT", "KOSLI_ENVIRONMENT"),
            ("KOSLI_HOSTS", "KOSLI_HOST"),
            ("KOSLI_API_TOKENS", "KOSLI_API_TOKEN"),
            ("KOSLI_HTTPS_PROXY", "KOSLI_HTTP_PROXY"),
        ] {
            let [problem] = &misspelt_variables([name])[..] else { panic!("{name}") };
            let expected = format!("{name} is set, but envsnap has no such variable: rename it");
            assert!(problem.starts_with(&expected), "{problem}");
            assert!(problem.contains(&format!(" to {known}, ")), "{problem}");
        }
    }

    #[test]
    fn variables_of_other_programs_and_dissimilar_names_are_not_reported() {
        let others = [
            "ECS_CONTAINER_METADATA_URI",
            "ECS_CONTAINER_METADATA_URI_V4",
            "ECS_AGENT_URI",
            "ECS_ENABLE_CONTAINER_METADATA",
            "KOSLI_DEBUG",
            "KOSLI_DRY_RUN",
            "KOSLI_MAX_API_RETRIES",
            "KOSLI_FLOW",
            "HEARTBEET",
            "ECSCLUSTERS",
        ];
        let ours: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(misspelt_variables(ours.iter().copied()), [""; 0]);
        assert_eq!(misspelt_variables(KOSLI_CLIENT_VARIABLES), [""; 0]);
        assert_eq!(misspelt_variables(others), [""; 0]);
        for name in KOSLI_CLIENT_VARIABLES {
            assert!(
                most_similar(name, ours.iter().copied()).is_some(),
                "{name} need not be in the list"
            );
        }
    }
}
