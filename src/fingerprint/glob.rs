//! Glob patterns on a file system, as Go's `path/filepath` understands them, with `**` as the `kosli`
//! client adds it.
//!
//! A fingerprint is of use only if both programs exclude the same files, so that this follows Go's
//! rules to the letter and no crate's: `*` and `?` stay within one name, `[^a-z]` negates, `\` escapes,
//! and a malformed pattern is an error whatever it is compared with. Patterns and paths are bytes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Go rejects a pattern with more path separators.
const MAX_SEPARATORS: usize = 10_000;

/// Why a pattern could not be expanded.
#[derive(Debug)]
pub(super) enum Error {
    /// The pattern is malformed: `[`, or an escape of nothing.
    Malformed,
    /// A directory that `**` looks into cannot be read.
    Read(PathBuf, io::Error),
}

pub(super) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The existing paths that `pattern` matches.
///
/// With `**` the parts between are expanded one after the other: each path that a part gives, and
/// everything below it, is the beginning of the next pattern. In that role names are patterns
/// themselves, so that `**/*.txt` finds nothing in a directory `[id]`, as in the `kosli` client.
pub(super) fn expand(pattern: &[u8]) -> Result<HashSet<Vec<u8>>, Error> {
    let parts = split_at_double_stars(pattern);
    if let [pattern] = parts[..] {
        return Ok(glob(pattern)?.into_iter().collect());
    }
    let mut found = HashSet::from([Vec::new()]);
    for part in parts {
        let mut below = HashSet::new();
        for beginning in &found {
            for root in glob(&[beginning, part].concat())? {
                add_tree(root, &mut below)?;
            }
        }
        found = below;
    }
    Ok(found)
}

fn split_at_double_stars(pattern: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(at) = rest.windows(2).position(|two| two == b"**") {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    parts.push(rest);
    parts
}

/// Adds `root` and all that is below it, links not followed.
fn add_tree(root: Vec<u8>, found: &mut HashSet<Vec<u8>>) -> Result<(), Error> {
    let mut pending = vec![root];
    while let Some(next) = pending.pop() {
        // What was found before was found with all that is below it.
        if found.contains(&next) {
            continue;
        }
        let read = |error| Error::Read(as_path(&next).to_owned(), error);
        if fs::symlink_metadata(as_path(&next)).map_err(read)?.is_dir() {
            for entry in fs::read_dir(as_path(&next)).map_err(read)? {
                let name = entry.map_err(read)?.file_name();
                pending.push(join(&next, name.as_bytes()));
            }
        }
        found.insert(next);
    }
    Ok(())
}

/// The existing paths that a pattern without `**` matches.
fn glob(pattern: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    is_match(pattern, b"")?;
    let mut names = Vec::new();
    let mut directory = pattern;
    while has_meta(directory) {
        if names.len() == MAX_SEPARATORS {
            return Err(Error::Malformed);
        }
        is_match(directory, b"")?;
        let at = directory.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        names.push(&directory[at..]);
        directory = match &directory[..at] {
            b"" => b".",
            b"/" => b"/",
            parent => &parent[..parent.len() - 1],
        };
    }
    if names.is_empty() {
        let exists = fs::symlink_metadata(as_path(pattern)).is_ok();
        return Ok(if exists { vec![pattern.to_owned()] } else { Vec::new() });
    }
    let mut found = vec![directory.to_owned()];
    while let Some(name) = names.pop() {
        let mut below = Vec::new();
        for directory in &found {
            add_matching_entries(directory, name, &mut below)?;
        }
        found = below;
    }
    Ok(found)
}

/// Adds the entries of `directory` whose names match; none if it cannot be read.
fn add_matching_entries(
    directory: &[u8],
    pattern: &[u8],
    found: &mut Vec<Vec<u8>>,
) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(as_path(directory)) else { return Ok(()) };
    for entry in entries.map_while(Result::ok) {
        let name = entry.file_name().into_vec();
        if is_match(pattern, &name)? {
            found.push(join(directory, &name));
        }
    }
    Ok(())
}

fn has_meta(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b"*?[\\".contains(byte))
}

/// Whether `text` has no character that means something in a pattern.
pub(super) fn is_literal(text: &[u8]) -> bool {
    !has_meta(text)
}

/// The path of `name` in `directory`, cleaned as by [`clean`].
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    clean(&[directory, b"/", name].concat())
}

/// The shortest equivalent path by its text alone, as Go's `filepath.Clean` returns it: without `.`,
/// `//` and, if something is before it, `..`.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let is_rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    let text = parts.join(&b'/');
    match (is_rooted, text.is_empty()) {
        (true, _) => [b"/", &*text].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => text,
    }
}

/// Whether `pattern` matches the whole of `name`.
fn is_match(mut pattern: &[u8], mut name: &[u8]) -> Result<bool, Error> {
    'pattern: while !pattern.is_empty() {
        let (star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        // The last chunk has to end at the end of the name.
        let fits = |left: &[u8]| left.is_empty() || !rest.is_empty();
        if let Some(left) = match_chunk(chunk, name)?.filter(|left| fits(left)) {
            name = left;
            continue;
        }
        if star {
            let skippable = name.iter().take_while(|&&byte| byte != b'/').count();
            for skipped in 1..=skippable {
                let left = match_chunk(chunk, &name[skipped..])?;
                if let Some(left) = left.filter(|left| fits(left)) {
                    name = left;
                    continue 'pattern;
                }
            }
        }
        while !pattern.is_empty() {
            let (_, chunk, rest) = next_chunk(pattern);
            pattern = rest;
            match_chunk(chunk, b"")?;
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Splits a pattern: whether it starts with stars, the text up to the next star, and the rest.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|&&byte| byte == b'*').count();
    let pattern = &pattern[stars..];
    let (mut at, mut in_class) = (0, false);
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    let (chunk, rest) = pattern.split_at(at.min(pattern.len()));
    (stars > 0, chunk, rest)
}

/// What is left of `name` behind `chunk`; `None` if `name` does not begin with it. All of `chunk` is
/// looked at in any case, because it may be malformed.
fn match_chunk<'n>(mut chunk: &[u8], name: &'n [u8]) -> Result<Option<&'n [u8]>, Error> {
    let mut left = Some(name);
    while let Some((&first, rest)) = chunk.split_first() {
        let now = left.filter(|left| !left.is_empty());
        match first {
            b'[' => {
                let (character, length) = now.map_or((0, 0), first_character);
                let (matches, behind) = match_class(rest, character)?;
                left = now.filter(|_| matches).map(|left| &left[length..]);
                chunk = behind;
            }
            b'?' => {
                let now = now.filter(|left| left[0] != b'/');
                left = now.map(|left| &left[first_character(left).1..]);
                chunk = rest;
            }
            _ => {
                let (literal, rest) = match (first, rest.split_first()) {
                    (b'\\', None) => return Err(Error::Malformed),
                    (b'\\', Some((&escaped, rest))) => (escaped, rest),
                    _ => (first, rest),
                };
                left = now.filter(|left| left[0] == literal).map(|left| &left[1..]);
                chunk = rest;
            }
        }
    }
    Ok(left)
}

/// Whether `character` is in the class that begins behind its `[`, and what is behind its `]`.
fn match_class(mut class: &[u8], character: u32) -> Result<(bool, &[u8]), Error> {
    let is_negated = class.first() == Some(&b'^');
    if is_negated {
        class = &class[1..];
    }
    let (mut is_in, mut is_first) = (false, true);
    loop {
        if let (Some((b']', behind)), false) = (class.split_first(), is_first) {
            return Ok((is_in != is_negated, behind));
        }
        let (low, rest) = class_character(class)?;
        let mut high = low;
        class = rest;
        if let Some((b'-', rest)) = class.split_first() {
            (high, class) = class_character(rest)?;
        }
        is_in |= (low..=high).contains(&character);
        is_first = false;
    }
}

/// The character at the beginning of (the rest of) a class, and what is behind it, which is not empty.
fn class_character(class: &[u8]) -> Result<(u32, &[u8]), Error> {
    let class = match class {
        [] | [b'-' | b']', ..] => return Err(Error::Malformed),
        [b'\\', escaped @ ..] => escaped,
        class => class,
    };
    let (character, length) = first_character(class);
    let behind = class.get(length..).filter(|behind| !behind.is_empty());
    match behind {
        Some(behind) if (character, length) != INVALID_BYTE => Ok((character, behind)),
        _ => Err(Error::Malformed),
    }
}

/// The code point and the length of a byte that is not UTF-8.
const INVALID_BYTE: (u32, usize) = (0xFFFD, 1);

/// The first character of a text that is not empty, and its length in bytes.
fn first_character(text: &[u8]) -> (u32, usize) {
    let most = &text[..text.len().min(4)];
    let chunk = most.utf8_chunks().next();
    let first = chunk.and_then(|chunk| chunk.valid().chars().next());
    first.map_or(INVALID_BYTE, |character| (character.into(), character.len_utf8()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Go 1.25's `filepath.Match` says; `None` for a malformed pattern.
    #[test]
    fn names_are_matched_as_go_matches_them() {
        for (pattern, name, expected) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*/b", "abc/b", Some(true)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("a[^a]b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("*[a-ζ]", "A", Some(false)),
            ("a?b", "a/b", Some(false)),
            ("a*b", "a/b", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-x]", "-", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[!a]", "!", Some(true)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[-x]", "x", None),
            ("\\", "a", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "a", None),
            ("a[", "ab", None),
            ("a[", "x", None),
            ("a/b[", "x", None),
            ("*x", "xxx", Some(true)),
            ("", "", Some(true)),
        ] {
            let got = is_match(pattern.as_bytes(), name.as_bytes()).ok();
            assert_eq!(got, expected, "{pattern} {name}");
        }
        assert_eq!(is_match(b"a?", b"a\xff").ok(), Some(true));
        assert_eq!(is_match(b"[\xff]", b"a").ok(), None);
    }

    #[test]
    fn a_path_is_cleaned_as_go_cleans_it() {
        for (path, expected) in [
            ("", "."),
            ("a//b/", "a/b"),
            ("./a/./b", "a/b"),
            ("a/../b", "b"),
            ("a/..", "."),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("/", "/"),
            ("a/**/../b", "a/b"),
        ] {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn matching_any_pattern_against_any_name_does_not_panic(
            pattern in "[ab*?\\[\\]\\\\^/☺-]{0,12}", name in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let _either = is_match(pattern.as_bytes(), &name);
        }
    }
}
