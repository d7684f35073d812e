//! Texts from outside, for errors and logs.

const MAX_EXCERPT_BYTES: usize = 500;

/// The first 500 bytes of `text`, and `…` if there are more; control characters become spaces.
pub(crate) fn excerpt(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_EXCERPT_BYTES);
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
    fn text_over_500_bytes_is_cut_at_a_character_boundary() {
        assert_eq!(excerpt(""), "");
        assert_eq!(excerpt(&"x".repeat(500)), "x".repeat(500));
        assert_eq!(excerpt(&"x".repeat(501)), format!("{}…", "x".repeat(500)));
        assert_eq!(excerpt(&"€".repeat(200)), format!("{}…", "€".repeat(166)));
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(excerpt("a\r\nb\u{1b}[2J\u{85}c"), "a  b [2J c");
    }
}
