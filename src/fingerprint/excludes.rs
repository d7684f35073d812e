//! What is left out of a directory's fingerprint.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

use super::glob::{self, clean, expand, is_literal, join};
use super::{Error, open_file};

/// Has exclude patterns, one a line, if it is in the directory itself; below it the name means nothing.
const IGNORE_FILE: &[u8] = b".kosli_ignore";

/// A line of the ignore file has to be shorter: the `kosli` client reads no line of this length, nor
/// any line behind it.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// The patterns in one value of `--exclude`, which are separated by commas. One that holds a comma is
/// put in double quotes, as in CSV.
///
/// # Errors
/// A pattern is empty, or a quote is not closed.
pub fn split_patterns(value: &OsStr) -> Result<Vec<Vec<u8>>, Error> {
    let problem = |problem| {
        let pattern = value.to_string_lossy().into_owned();
        Err(Error::Pattern { pattern, problem })
    };
    let mut patterns = Vec::new();
    let mut rest = value.as_bytes();
    loop {
        let mut pattern = Vec::new();
        if let Some((b'"', quoted)) = rest.split_first() {
            rest = quoted;
            loop {
                match rest {
                    [b'"', b'"', behind @ ..] => {
                        pattern.push(b'"');
                        rest = behind;
                    }
                    [b'"', behind @ ..] => {
                        rest = behind;
                        break;
                    }
                    [byte, behind @ ..] => {
                        pattern.push(*byte);
                        rest = behind;
                    }
                    [] => return problem("in a quote that is not closed"),
                }
            }
        } else {
            let end = rest.iter().position(|&byte| byte == b',').unwrap_or(rest.len());
            let unquoted;
            (unquoted, rest) = rest.split_at(end);
            if unquoted.contains(&b'"') {
                return problem("quoted in part: a pattern is in quotes as a whole or not at all");
            }
            pattern.extend_from_slice(unquoted);
        }
        if pattern.is_empty() {
            return problem("empty, or has an empty part between commas");
        }
        patterns.push(pattern);
        match rest {
            [] => return Ok(patterns),
            [b',', behind @ ..] => rest = behind,
            _ => return problem("followed by something else than a comma behind its quotes"),
        }
    }
}

/// The paths that are left out of one directory's fingerprint.
#[derive(Debug)]
pub(super) struct Excludes {
    by_option: HashSet<Vec<u8>>,
    by_file: HashSet<Vec<u8>>,
    ignore_file: Vec<u8>,
    /// What deserves a look, though it is what the `kosli` client does.
    pub(super) warnings: Vec<String>,
}

impl Excludes {
    /// What `patterns` and the ignore file exclude below `root`, as both are now.
    pub(super) fn find(root: &[u8], patterns: &[Vec<u8>]) -> Result<Self, Error> {
        let ignore_file = join(root, IGNORE_FILE);
        let lines = read_ignore_file(&ignore_file)?;
        let mut excludes = Self {
            by_option: expand_all(root, patterns)?,
            by_file: expand_all(root, &lines)?,
            ignore_file,
            warnings: Vec::new(),
        };
        if !lines.is_empty() && excludes.by_option.contains(&excludes.ignore_file) {
            excludes.warnings.push(format!(
                "{} is left out by --exclude, and what its lines exclude is left out all the same: they \
                 can be changed without changing the fingerprint. Give them with --exclude, and remove \
                 the file",
                glob::as_path(&excludes.ignore_file).display()
            ));
        }
        let all = || patterns.iter().chain(&lines);
        if !is_literal(root) && all().next().is_some() {
            excludes.warnings.push(format!(
                "the path {} holds one of the characters * ? [ \\, which the kosli client reads as a part \
                 of each exclude pattern, and so does this: rename the directory, or change to it and \
                 give .",
                glob::as_path(root).display()
            ));
        }
        let is_void = |pattern: &Vec<u8>| root == b"." && clean(pattern).starts_with(b"**");
        if let Some(pattern) = all().find(|pattern| is_void(pattern)) {
            excludes.warnings.push(format!(
                "the exclude pattern \"{}\" leaves out nothing, because the directory is given as \".\": \
                 so it is in the kosli client. Give its path (\"$PWD\")",
                String::from_utf8_lossy(pattern)
            ));
        }
        for pattern in all().filter(|pattern| !is_void(pattern)) {
            // What is before the slash ends in one already, so that the path found has two, and is no
            // path that is walked.
            let at = pattern.windows(3).position(|three| three == b"**/");
            let Some(at) = at else { continue };
            let nearest = [&pattern[..at], &pattern[at + 3..]].concat();
            let path = join(root, &nearest);
            let exists = is_literal(&nearest) && fs::symlink_metadata(glob::as_path(&path)).is_ok();
            if exists && !excludes.contain(&path) {
                let [pattern, nearest] =
                    [pattern, &nearest].map(|text| String::from_utf8_lossy(text).into_owned());
                excludes.warnings.push(format!(
                    "the exclude pattern \"{pattern}\" does not leave out {}, as it does not in the kosli \
                     client, but only what is deeper: exclude \"{nearest}\" as well",
                    glob::as_path(&path).display()
                ));
            }
        }
        Ok(excludes)
    }

    /// Whether `path` is left out. The ignore file cannot leave out itself, because what it excludes
    /// could then be changed without changing the fingerprint.
    pub(super) fn contain(&self, path: &[u8]) -> bool {
        self.by_option.contains(path) || (self.by_file.contains(path) && path != self.ignore_file)
    }
}

/// The existing paths that any of the patterns, which are relative to `root`, matches.
fn expand_all(root: &[u8], patterns: &[Vec<u8>]) -> Result<HashSet<Vec<u8>>, Error> {
    let mut paths = HashSet::new();
    for pattern in patterns {
        let found = expand(&join(root, pattern)).map_err(|error| match error {
            glob::Error::Malformed => Error::Pattern {
                pattern: String::from_utf8_lossy(pattern).into_owned(),
                problem: "malformed (or is so together with a name in the directory that holds a [)",
            },
            glob::Error::Read(path, source) => Error::Read { path, source },
        })?;
        paths.extend(found);
    }
    Ok(paths)
}

/// The patterns in the ignore file; none if there is no such file.
fn read_ignore_file(path: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let path = glob::as_path(path);
    // Something else of that name is met, and named, when the directory is hashed.
    if !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return Ok(Vec::new());
    }
    let mut text = Vec::new();
    let read = |source| Error::Read { path: path.to_owned(), source };
    open_file(path)?.read_to_end(&mut text).map_err(read)?;
    let mut patterns = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        if line.len() >= MAX_LINE_BYTES {
            let shown = String::from_utf8_lossy(&line[..80]).into_owned();
            let problem = "the beginning of a line in .kosli_ignore of 64 KiB or more";
            return Err(Error::Pattern { pattern: shown, problem });
        }
        let pattern = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let pattern = trimmed(pattern);
        if !pattern.is_empty() {
            patterns.push(pattern.to_owned());
        }
    }
    Ok(patterns)
}

/// `text` without white space around it: Unicode's if it is UTF-8, else ASCII's.
fn trimmed(text: &[u8]) -> &[u8] {
    match str::from_utf8(text) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => text.trim_ascii(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(value: &str) -> Result<Vec<String>, String> {
        let patterns = split_patterns(OsStr::new(value)).map_err(|error| error.to_string())?;
        Ok(patterns.into_iter().map(|pattern| String::from_utf8(pattern).unwrap()).collect())
    }

    #[test]
    fn exclude_option_is_split_at_commas_outside_of_double_quotes() {
        for (value, expected) in [
            ("logs", &["logs"][..]),
            ("logs,*.exe", &["logs", "*.exe"]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"say \"\"hi\"\"\"", &["say \"hi\""]),
        ] {
            assert_eq!(split(value).unwrap(), expected, "{value}");
        }
        for value in ["", "a,,b", "a,", ",a", "\"\"", "\"a", "a\"b\"", "\"a\"b"] {
            let error = split(value).unwrap_err();
            assert!(error.starts_with("the exclude pattern \""), "{error}");
        }
    }
}
