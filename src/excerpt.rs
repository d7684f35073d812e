//! Texts from outside, for errors and logs.

const SHOWN: usize = 500;

/// The beginning of `text`, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN);
    let mut shown: String =
        text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters_and_a_short_one_is_not() {
        assert_eq!(excerpt(""), "");
        assert_eq!(excerpt(&"x".repeat(500)), "x".repeat(500));
        assert_eq!(excerpt(&"x".repeat(501)), format!("{}…", "x".repeat(500)));
        assert_eq!(excerpt(&"€".repeat(200)), format!("{}…", "€".repeat(166)));
    }

    #[test]
    fn nothing_that_moves_a_cursor_is_shown() {
        assert_eq!(excerpt("a\r\nb\u{1b}[2J\u{85}c"), "a  b [2J c");
    }
}
