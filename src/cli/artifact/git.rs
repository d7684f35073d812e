//! What the local git repository says of a commit.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Serialize;

/// A commit, as reports carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Commit {
    /// 40 or 64 hexadecimal digits.
    pub(in crate::cli) sha1: String,
    pub(in crate::cli) message: String,
    /// `Name <mail>`
    pub(in crate::cli) author: String,
    /// When it was committed, in seconds since the Unix epoch.
    pub(in crate::cli) timestamp: i64,
    pub(in crate::cli) branch: String,
    pub(in crate::cli) parents: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) url: Option<String>,
}

/// Runs `git` in `directory`, and returns what it printed.
///
/// # Errors
/// It is not installed, or it failed, with its error output.
pub(in crate::cli) fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().context(
        "cannot run git. Install it, or give the commit and the repository with options",
    )?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("git {} in {}: {}", arguments.join(" "), directory.display(), stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The whole hash of a commit that is named in any way that git knows.
///
/// # Errors
/// There is no repository, or no such commit in it.
pub(in crate::cli) fn resolve_commit(directory: &Path, commit: &str) -> anyhow::Result<String> {
    let wanted = format!("{commit}^{{commit}}");
    Ok(git(directory, &["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted])
        .with_context(|| format!("there is no commit {commit} in {}", directory.display()))?
        .trim()
        .to_owned())
}

/// What git says of the commit that is named in any way that git knows.
///
/// # Errors
/// There is no repository, or no such commit in it.
pub(super) fn read_commit(directory: &Path, name: &str) -> anyhow::Result<Commit> {
    let sha1 = resolve_commit(directory, name)?;
    let format = "--format=%an <%ae>%x00%ct%x00%P%x00%B";
    let text = git(directory, &["log", "-1", "--no-show-signature", format, &sha1])?;
    let mut fields = text.splitn(4, '\0');
    let mut next = || fields.next().unwrap_or_default().trim().to_owned();
    let (author, timestamp, parents, message) = (next(), next(), next(), next());
    let branch = git(directory, &["rev-parse", "--abbrev-ref", "HEAD"])?.trim().to_owned();
    Ok(Commit {
        sha1,
        message,
        author,
        timestamp: timestamp.parse().context("git printed a time that is no number")?,
        branch,
        parents: parents.split_whitespace().map(str::to_owned).collect(),
        url: None,
    })
}

/// The web page of the repository, from the URL of remote `origin`, if it has one.
pub(super) fn repository_url(directory: &Path) -> Option<String> {
    web_page_of_remote(git(directory, &["remote", "get-url", "origin"]).ok()?.trim())
}

/// The web page of the repository whose URL for git is `remote`, without users and passwords.
fn web_page_of_remote(remote: &str) -> Option<String> {
    let without_scheme = ["https://", "http://", "ssh://", "git://"]
        .iter()
        .find_map(|scheme| remote.strip_prefix(scheme));
    let (host, path) = if let Some(rest) = without_scheme {
        let (authority, path) = rest.split_once('/')?;
        let host = authority.rsplit('@').next()?;
        let is_web = remote.starts_with("http");
        // The port is that of another protocol.
        (if is_web { host } else { host.split(':').next()? }, path)
    } else {
        // git@github.com:org/repo.git
        let (authority, path) = remote.split_once(':')?;
        (authority.rsplit_once('@')?.1, path)
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!host.is_empty() && !path.is_empty()).then(|| format!("https://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_remote_url_becomes_an_https_url_without_credentials() {
        for (remote, expected) in [
            ("git@github.com:cyber-dojo/runner.git", Some("https://github.com/cyber-dojo/runner")),
            ("https://github.com/cyber-dojo/runner", Some("https://github.com/cyber-dojo/runner")),
            ("https://u:secret@git.acme.com:8443/a/b.git", Some("https://git.acme.com:8443/a/b")),
            ("ssh://git@git.acme.com:2222/a/b.git", Some("https://git.acme.com/a/b")),
            ("/srv/git/runner.git", None),
            ("../runner", None),
            ("https://github.com", None),
            ("", None),
        ] {
            assert_eq!(web_page_of_remote(remote).as_deref(), expected, "{remote}");
        }
    }
}
