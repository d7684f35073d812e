//! The fingerprint of a directory.

use std::ffi::OsString;
use std::fs::{self, FileType};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::vec;

use sha2::{Digest as _, Sha256};

use super::excludes::Excludes;
use super::glob::{self, clean, join};
use super::{Error, fingerprint_file, hash_of, metadata};
use crate::snapshot::Fingerprint;

/// The fingerprint of a directory, with the warnings about its exclude patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryFingerprint {
    /// Of everything that is not excluded.
    pub fingerprint: Fingerprint,
    /// Patterns that exclude something else than they seem to.
    pub warnings: Vec<String>,
}

/// A directory whose entries are being hashed.
struct Level {
    path: Vec<u8>,
    /// Those that are still to come, in byte order of their names.
    entries: vec::IntoIter<(OsString, FileType)>,
}

impl Level {
    /// Reads the names and types of the entries, and sorts them.
    fn read(path: Vec<u8>) -> Result<Self, Error> {
        let shown = glob::as_path(&path);
        let read = |source| Error::Read { path: shown.to_owned(), source };
        let mut entries = Vec::new();
        for entry in fs::read_dir(shown).map_err(read)? {
            let entry = entry.map_err(read)?;
            entries.push((entry.file_name(), entry.file_type().map_err(read)?));
        }
        entries.sort_unstable_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
        Ok(Self { path, entries: entries.into_iter() })
    }
}

/// The fingerprint of the directory at `root` without what `patterns` and its `.kosli_ignore` exclude.
/// Patterns are relative to it; a directory that is excluded is not entered.
///
/// # Errors
/// It is no directory, a pattern is malformed, or something in it cannot be hashed: then there is no
/// fingerprint, because one without that would look like another directory's.
pub fn fingerprint_directory(
    root: &Path,
    patterns: &[Vec<u8>],
) -> Result<DirectoryFingerprint, Error> {
    if !metadata(root)?.is_dir() {
        return Err(Error::NotADirectory(root.to_owned()));
    }
    // With a slash behind it the link is followed.
    if fs::symlink_metadata(root).is_ok_and(|found| found.is_symlink()) {
        return Err(Error::LinkToDirectory(root.to_owned()));
    }
    // Its text may have a slash behind a link, which has to stay for the link to be followed.
    let top = Level::read(root.as_os_str().as_bytes().to_owned())?;
    let root = clean(&top.path);
    let excludes = Excludes::find(&root, patterns)?;

    let mut hash = Sha256::new();
    // No recursion: a tree may be deeper than the stack.
    let mut levels = vec![Level { path: root, ..top }];
    while let Some(level) = levels.last_mut() {
        let Some((name, file_type)) = level.entries.next() else {
            levels.pop();
            continue;
        };
        let path = join(&level.path, name.as_bytes());
        if excludes.contain(&path) {
            continue;
        }
        hash.update(hash_of(&name));
        if file_type.is_dir() {
            levels.push(Level::read(path)?);
            continue;
        }
        let path = glob::as_path(&path);
        if file_type.is_symlink() && metadata(path)?.is_dir() {
            let read = |source| Error::Read { path: path.to_owned(), source };
            hash.update(hash_of(fs::read_link(path).map_err(read)?.as_os_str()));
        } else {
            hash.update(fingerprint_file(path)?.to_string());
        }
    }
    let fingerprint = <[u8; 32]>::from(hash.finalize()).into();
    Ok(DirectoryFingerprint { fingerprint, warnings: excludes.warnings })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A directory with subdirectories, hidden files, and links to a file and to a directory.
    fn directory_with_links() -> TempDir {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        for directory in ["sub/deep", "empty", "logs", ".git"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        for (name, content) in [
            ("a.txt", "a\n"),
            ("sub/b.txt", "b\n"),
            ("sub/deep/c.txt", "c\n"),
            ("logs/x.log", "l\n"),
            (".hidden", "hid\n"),
            (".git/config", "g\n"),
            ("\u{fc}nicode.txt", "hi\n"),
        ] {
            fs::write(at(name), content).unwrap();
        }
        symlink("a.txt", at("link_file")).unwrap();
        symlink("sub/deep", at("link_dir")).unwrap();
        tree
    }

    fn directory_with_files(files: &[(&str, &str)]) -> TempDir {
        let tree = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = tree.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        tree
    }

    /// The expected values are what version 2.43.1 of the `kosli` client prints.
    #[test]
    fn directories_have_the_fingerprints_that_the_kosli_client_gives_them() {
        let ignoring =
            [("a.txt", "a\n"), ("x.log", "l\n"), (".kosli_ignore", ".kosli_ignore\n*.log\n")];
        let below = [("sub/a.txt", "a\n"), ("sub/.kosli_ignore", "*.txt\n")];
        for (tree, patterns, warnings, expected) in [
            (
                directory_with_links(),
                &[][..],
                0,
                "76408a97087359bbafee325ddf9f4ecd3dc584cd00319ab19f42b69179a5fcc0",
            ),
            (
                directory_with_links(),
                &["logs", "**/*.txt"],
                0,
                "9fbab5288001714ba25c7bd35334e0ddcd4be0aca0f18bf6a836c6d0ce1524a9",
            ),
            (
                directory_with_links(),
                &["*.txt"],
                0,
                "d984ad8e0a9985f5783dc62e6e121593be48b3344b3220c5d60963a63482ec8b",
            ),
            (
                directory_with_files(&ignoring),
                &[],
                0,
                "240385518dc5cd5d6f24372d2925077a71cd5c51b68bbe01f99c720db8c8bddb",
            ),
            (
                directory_with_files(&ignoring),
                &[".kosli_ignore"],
                1,
                "c3038711d4c15caef8732e5ccf9e4d47b6e48dca8ab23483b9eda3a709eb68a3",
            ),
            (
                directory_with_files(&ignoring),
                &["*ignore"],
                1,
                "c3038711d4c15caef8732e5ccf9e4d47b6e48dca8ab23483b9eda3a709eb68a3",
            ),
            (
                directory_with_files(&below),
                &[],
                0,
                "3c80f43e7c0ace2f6d2dac8d99da289d26f6e2e9dd313b8a6689f4f85ea591ae",
            ),
            (
                directory_with_files(&[]),
                &[],
                0,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
        ] {
            let patterns: Vec<_> = patterns.iter().map(|it| it.as_bytes().to_owned()).collect();
            let found = fingerprint_directory(tree.path(), &patterns).unwrap();
            assert_eq!(found.fingerprint.to_string(), expected, "{patterns:?}");
            assert_eq!(found.warnings.len(), warnings, "{:?}", found.warnings);
        }
        let file = directory_with_files(&[("a", "a\n")]);
        assert_eq!(
            fingerprint_file(&file.path().join("a")).unwrap().to_string(),
            "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"
        );
    }
}
