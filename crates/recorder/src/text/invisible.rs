//! Invisible characters.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Categories without a visible glyph: some change the text direction, or end a line.
const INVISIBLE_CATEGORIES: GeneralCategoryGroup = GeneralCategoryGroup::Control
    .union(GeneralCategoryGroup::Format)
    .union(GeneralCategoryGroup::LineSeparator)
    .union(GeneralCategoryGroup::ParagraphSeparator);

/// Invisible, although its category is that of symbols.
const BRAILLE_PATTERN_BLANK: char = '\u{2800}';

/// Whether `c` is a control character or invisible, so that two names can look alike. Uses
/// Unicode's tables, which include variation selectors and fillers.
pub fn is_invisible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || INVISIBLE_CATEGORIES.contains(CodePointMapData::<GeneralCategory>::new().get(c))
        || c == BRAILLE_PATTERN_BLANK
}

/// Replaces invisible and control characters by U+FFFD, against terminal escapes and lookalikes.
pub fn replace_invisible(text: &str) -> String {
    text.chars().map(|c| if is_invisible(c) { '\u{fffd}' } else { c }).collect()
}

/// Like [`replace_invisible`], but keeps line breaks, as `\n` and without one at the end.
pub fn replace_invisible_lines(text: &str) -> String {
    text.lines().map(replace_invisible).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_invisible_characters_are_replaced_by_u_fffd_and_other_text_is_kept() {
        assert_eq!(
            replace_invisible("a\x1b[31m\u{9b}2J\r\n\u{202e}b"),
            "a\u{fffd}[31m\u{fffd}2J\u{fffd}\u{fffd}\u{fffd}b"
        );
        assert_eq!(replace_invisible("größe/日本:1"), "größe/日本:1");
        assert_eq!(replace_invisible("we\u{e0062}b\u{3164}"), "we\u{fffd}b\u{fffd}");
        assert_eq!(replace_invisible_lines("a\u{202e}\nb\x1b\n"), "a\u{fffd}\nb\u{fffd}");
    }

    #[test]
    fn control_format_and_blank_characters_are_invisible_and_letters_marks_and_emoji_not() {
        for hidden in [
            '\0',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180e}',
            '\u{180f}',
            '\u{200b}',
            '\u{200d}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2065}',
            '\u{2066}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0062}',
            '\u{e0100}',
        ] {
            assert!(is_invisible(hidden), "{hidden:?}");
        }
        for shown in [' ', 'a', '~', 'ß', '\u{301}', '日', 'ـ', '→', '🚀', '\u{fffd}'] {
            assert!(!is_invisible(shown), "{shown:?}");
        }
    }
}
