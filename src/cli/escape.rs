//! Escapes text from outside for a terminal.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use crate::recorder::text::is_invisible;
pub(super) use crate::recorder::text::{replace_invisible, replace_invisible_lines};

/// Escapes invisible characters in a JSON document, which stays equivalent: they can only occur in
/// strings.
pub(super) fn escape_json(json: &str) -> String {
    let mut output = String::with_capacity(json.len() + 1);
    for c in json.trim_end().chars() {
        if is_invisible(c) && !matches!(c, '\n' | '\r' | '\t') {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(output, "\\u{unit:04x}");
            }
        } else {
            output.push(c);
        }
    }
    output.push('\n');
    output
}

/// Like [`escape_json`], on one line: JSON strings contain no line breaks.
pub(super) fn escape_json_line(json: &str) -> String {
    let mut line = escape_json(&json.replace(['\n', '\r'], " "));
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

/// `text` in lines of at most `width` columns. Breaks after a space if possible, otherwise after a
/// slash, otherwise after another punctuation mark, otherwise anywhere.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.width() > width {
        let at = line_break(rest, width);
        if at == rest.len() {
            break;
        }
        lines.push(rest[..at].to_owned());
        rest = &rest[at..];
    }
    lines.push(rest.to_owned());
    lines
}

/// The byte at which the first line of `text` ends: after one character at least.
fn line_break(text: &str, width: usize) -> usize {
    // Some characters have another width together than separately.
    let fits = text.char_indices().map(|(at, _)| at).skip(1).find(|&at| {
        let next = text[at..].chars().next().map_or(0, char::len_utf8);
        text[..at + next].width() > width
    });
    let fits = fits.unwrap_or(text.len());
    let behind = |marks: &[char]| text[..fits].rfind(marks).map(|at| at + 1);
    let marks: [&[char]; 3] = [&[' '], &['/'], &[':', '.', '-', '_', '@']];
    marks.into_iter().find_map(behind).unwrap_or(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthChar as _;

    use super::*;

    #[test]
    fn escaped_json_parses_to_the_same_document() {
        let json = "{\n  \"name\": \"a\u{9b}2J\u{202e}b\u{e0062}\"\n}\n\n";
        let output = escape_json(json);
        assert_eq!(output, "{\n  \"name\": \"a\\u009b2J\\u202eb\\udb40\\udc62\"\n}\n");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&output), read(json));
        assert_eq!(escape_json_line("[\n1,\r\n2]\n"), "[ 1,  2]\n");
    }

    #[test]
    fn long_name_wraps_after_a_slash_or_else_other_punctuation() {
        let ecr = "274425519734.dkr.ecr.eu-central-1.amazonaws.com/runner:16d9990";
        assert_eq!(
            wrap(ecr, 50),
            ["274425519734.dkr.ecr.eu-central-1.amazonaws.com/", "runner:16d9990"]
        );
        assert_eq!(
            wrap(ecr, 36),
            ["274425519734.dkr.ecr.eu-central-1.", "amazonaws.com/runner:16d9990"]
        );
        assert_eq!(wrap("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(wrap("abc:", 4), ["abc:"]);
        assert_eq!(wrap("ab:c", 4), ["ab:c"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("日本", 1), ["日", "本"]);
        assert_eq!(wrap("00\u{fe0f}1", 2), ["00", "\u{fe0f}1"]);
        assert_eq!(wrap("", 4), [""]);
    }

    proptest! {
        #[test]
        fn wrapped_lines_join_to_the_text_and_fit_the_width(text in "\\PC{0,300}", width in 1_usize..80) {
            let lines = wrap(&text, width);
            prop_assert_eq!(lines.concat(), text);
            for line in lines {
                prop_assert!(line.width() <= width || line.chars().filter(|c| c.width() > Some(0)).count() <= 1);
            }
        }
    }
}
