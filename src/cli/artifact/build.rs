//! The commit that is built here, and the build: from options, from the variables of GitHub and GitLab,
//! and from git.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use super::git::{self, Commit};
use crate::cli::server_args::env_var;

/// Above the options about the commit and the build.
const HELP_HEADING: &str = "Where it was built";

/// Options of every command that reports something of a build.
#[derive(Debug, clap::Args)]
pub(super) struct BuildArgs {
    #[arg(
        long,
        value_name = "SHA",
        help_heading = HELP_HEADING,
        help = "The commit [default: GITHUB_SHA or CI_COMMIT_SHA, or git's HEAD]"
    )]
    commit: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help_heading = HELP_HEADING,
        help = "A page that shows the commit [default: on GitHub, GitLab, or git's origin]"
    )]
    commit_url: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help_heading = HELP_HEADING,
        help = "A page that shows the build [default: GitHub's run, or CI_JOB_URL]"
    )]
    build_url: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help_heading = HELP_HEADING,
        help = "A page that shows the repository [default: on GitHub, GitLab, or git's origin]"
    )]
    repo_url: Option<String>,
    #[arg(
        long,
        value_name = "DIR",
        default_value = ".",
        help_heading = HELP_HEADING,
        help = "A directory of the git repository"
    )]
    git: PathBuf,
}

/// What is known of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Build {
    /// Its hash alone, if there is no git repository to ask.
    pub(super) sha1: Option<String>,
    commit: Option<Commit>,
    commit_url: Option<String>,
    pub(super) url: Option<String>,
    repository: Option<String>,
}

/// What the variables of a CI system say.
#[derive(Debug, Default, PartialEq, Eq)]
struct CiVariables {
    sha1: Option<String>,
    repository: Option<String>,
    build_url: Option<String>,
    branch: Option<String>,
    /// Between a repository's address and a commit.
    commit_path: Option<&'static str>,
}

/// Reads the variables of GitHub, or else of GitLab.
fn ci_variables(variable: impl Fn(&str) -> Option<String>) -> CiVariables {
    if let (Some(server), Some(name)) =
        (variable("GITHUB_SERVER_URL"), variable("GITHUB_REPOSITORY"))
    {
        let repository = format!("{}/{name}", server.trim_end_matches('/'));
        let run = variable("GITHUB_RUN_ID");
        return CiVariables {
            sha1: variable("GITHUB_SHA"),
            build_url: run.map(|run| format!("{repository}/actions/runs/{run}")),
            repository: Some(repository),
            branch: variable("GITHUB_HEAD_REF").or_else(|| variable("GITHUB_REF_NAME")),
            commit_path: Some("commit"),
        };
    }
    if let Some(repository) = variable("CI_PROJECT_URL") {
        return CiVariables {
            sha1: variable("CI_COMMIT_SHA"),
            build_url: variable("CI_JOB_URL"),
            repository: Some(repository),
            branch: variable("CI_COMMIT_REF_NAME"),
            commit_path: Some("-/commit"),
        };
    }
    CiVariables {
        sha1: variable("GITHUB_SHA").or_else(|| variable("CI_COMMIT_SHA")),
        ..Default::default()
    }
}

/// The path of a URL between a repository and a commit's hash, which differs by host.
fn commit_path(repository: &str) -> &'static str {
    let host = repository.split('/').nth(2).unwrap_or_default();
    if host.contains("gitlab") {
        "-/commit"
    } else if host.contains("bitbucket") {
        "commits"
    } else {
        "commit"
    }
}

impl BuildArgs {
    /// What options, variables of the CI system and git say of the build. A commit is not needed.
    ///
    /// # Errors
    /// A commit is given, and git does not know it.
    pub(super) fn read(self) -> anyhow::Result<Build> {
        let ci = ci_variables(env_var);
        let given = self.commit.or(ci.sha1);
        let mut commit = match git::read_commit(&self.git, given.as_deref().unwrap_or("HEAD")) {
            Ok(commit) => Some(commit),
            // Outside a repository a whole hash is enough.
            Err(error) => match &given {
                Some(given) if !is_full_commit_hash(given) => {
                    return Err(error.context(format!(
                        "what is known of commit {given} cannot be read. Give the whole commit, or the \
                         repository with --git"
                    )));
                }
                _ => None,
            },
        };
        let sha1 = commit.as_ref().map(|commit| commit.sha1.clone());
        let sha1 = sha1.or(given).map(|sha1| sha1.to_ascii_lowercase());
        let repository = self.repo_url.or(ci.repository).or_else(|| git::repository_url(&self.git));
        let commit_url = self.commit_url.or_else(|| {
            let repository = repository.as_deref()?;
            let path = ci.commit_path.unwrap_or_else(|| commit_path(repository));
            Some(format!("{}/{path}/{}", repository.trim_end_matches('/'), sha1.as_deref()?))
        });
        if let Some(commit) = &mut commit {
            commit.url.clone_from(&commit_url);
            // A job of CI checks out a commit, not a branch.
            if let Some(branch) = ci.branch {
                commit.branch = branch;
            }
        }
        Ok(Build { sha1, commit, commit_url, url: self.build_url.or(ci.build_url), repository })
    }
}

fn is_full_commit_hash(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Build {
    /// The trail that is given, or the commit's hash.
    ///
    /// # Errors
    /// Neither is known.
    pub(super) fn trail(&self, given: Option<String>) -> anyhow::Result<String> {
        given.or_else(|| self.sha1.clone()).context(
            "the trail is not known. Give --trail, or --commit, or run it in a git repository",
        )
    }

    /// The URLs of the commit and of the build.
    ///
    /// # Errors
    /// One of them is not known: both are required of an artifact.
    pub(super) fn commit_and_build_urls(&self) -> anyhow::Result<(&str, &str)> {
        let Some(commit_url) = &self.commit_url else {
            bail!(
                "the address of the commit is not known. Give --commit-url, or --repo-url and --commit, \
                 or run it in a git repository whose remote is called origin"
            );
        };
        let Some(build_url) = &self.url else {
            bail!(
                "the address of the build is not known. Give --build-url (jobs of GitHub and GitLab have \
                 it in their variables)"
            );
        };
        Ok((commit_url, build_url))
    }

    /// Adds the commit and the repository to a report, as far as they are known.
    pub(super) fn add_to(&self, report: &mut Map<String, Value>) -> serde_json::Result<()> {
        match (&self.commit, &self.sha1) {
            (Some(commit), _) => {
                report.insert("git_commit_info".to_owned(), serde_json::to_value(commit)?);
            }
            (None, Some(sha1)) => {
                let commit = json!({"sha1": sha1, "message": "", "author": "", "timestamp": 0, "branch": ""});
                report.insert("git_commit_info".to_owned(), commit);
            }
            (None, None) => {}
        }
        if let Some(repository) = &self.repository {
            let name: Vec<_> = repository.splitn(4, '/').collect();
            let name = name.get(3).copied().unwrap_or_default();
            let repo = json!({"id": name, "name": name, "url": repository});
            report.insert("repo_info".to_owned(), repo);
            report.insert("repo_url".to_owned(), json!(repository));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT_SHA: &str = "16d9990ad23a40eecaf087abac2a58a2d2a4b3f4";

    fn ci_variables_from(variables: &[(&str, &str)]) -> CiVariables {
        ci_variables(|wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn github_and_gitlab_variables_give_commit_repository_branch_and_build_url() {
        let github = ci_variables_from(&[
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "cyber-dojo/runner"),
            ("GITHUB_SHA", COMMIT_SHA),
            ("GITHUB_RUN_ID", "2902808452"),
            ("GITHUB_REF_NAME", "main"),
        ]);
        assert_eq!(
            github,
            CiVariables {
                sha1: Some(COMMIT_SHA.to_owned()),
                repository: Some("https://github.com/cyber-dojo/runner".to_owned()),
                build_url: Some(
                    "https://github.com/cyber-dojo/runner/actions/runs/2902808452".to_owned()
                ),
                branch: Some("main".to_owned()),
                commit_path: Some("commit"),
            }
        );
        let gitlab = ci_variables_from(&[
            ("CI_PROJECT_URL", "https://gitlab.com/acme/web"),
            ("CI_COMMIT_SHA", COMMIT_SHA),
            ("CI_JOB_URL", "https://gitlab.com/acme/web/-/jobs/1"),
        ]);
        assert_eq!(gitlab.build_url.as_deref(), Some("https://gitlab.com/acme/web/-/jobs/1"));
        assert_eq!(
            (gitlab.sha1.as_deref(), gitlab.commit_path),
            (Some(COMMIT_SHA), Some("-/commit"))
        );
        assert_eq!(ci_variables_from(&[]), CiVariables::default());
    }

    #[test]
    fn commit_path_depends_on_the_host_of_the_repository() {
        for (repository, expected) in [
            ("https://github.com/a/b", "commit"),
            ("https://gitlab.acme.com/a/b", "-/commit"),
            ("https://bitbucket.org/a/b", "commits"),
            ("https://github.com/a/gitlab", "commit"),
        ] {
            assert_eq!(commit_path(repository), expected, "{repository}");
        }
    }

    #[test]
    fn missing_trail_commit_url_or_build_url_error_names_its_option() {
        let build =
            Build { sha1: None, commit: None, commit_url: None, url: None, repository: None };
        assert!(build.trail(None).unwrap_err().to_string().contains("Give --trail"));
        assert!(
            build.commit_and_build_urls().unwrap_err().to_string().contains("Give --commit-url")
        );
        let build = Build { commit_url: Some("c".to_owned()), ..build };
        assert!(
            build.commit_and_build_urls().unwrap_err().to_string().contains("Give --build-url")
        );
    }
}
