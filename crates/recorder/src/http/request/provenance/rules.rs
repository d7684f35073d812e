//! Templates, which are YAML.

use envsnap_model::provenance::Template;

use crate::domain::Error;
use crate::domain::provenance::StoredTemplate;
use crate::http::request::multipart::FilePart;

/// The longest template, in bytes.
const MAX_TEMPLATE_BYTES: usize = 64 << 10;

/// The most problems of a template that its error names.
const MAX_PROBLEMS: usize = 10;

/// The template in a YAML file, parsed and checked; `None` if the file is missing or empty.
pub(super) fn template(file: Option<FilePart>) -> Result<Option<StoredTemplate>, Error> {
    let Some(file) = file.filter(|file| !file.content.is_empty()) else { return Ok(None) };
    if file.content.len() > MAX_TEMPLATE_BYTES {
        let most = MAX_TEMPLATE_BYTES >> 10;
        return Err(Error::too_large(format!("The template is larger than {most} KB")));
    }
    let content = String::from_utf8(file.content)
        .map_err(|_| Error::bad_request("1 validation errors for Template: it is not UTF-8"))?;
    let rules: Template = serde_saphyr::from_str(&content).map_err(|error| {
        // The first line says what and where; the others show the text around it.
        let error = error.to_string();
        let reason = error.lines().next().unwrap_or_default();
        Error::bad_request(format!("1 validation errors for Template: {reason}"))
    })?;
    let problems = rules.problems();
    if !problems.is_empty() {
        return Err(Error::bad_request(format!(
            "{} validation errors for Template: {}",
            problems.len(),
            problems.iter().take(MAX_PROBLEMS).cloned().collect::<Vec<_>>().join("; ")
        )));
    }
    Ok(Some(StoredTemplate { content, rules }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_template(text: &str) -> Result<Option<StoredTemplate>, String> {
        let content = text.as_bytes().to_vec();
        let file = FilePart { filename: "t.yml".to_owned(), content };
        template(Some(file)).map_err(|error| error.to_string())
    }

    #[test]
    fn valid_template_is_parsed_and_keeps_its_text_and_an_empty_file_is_none() {
        let text = "version: 1\ntrail:\n  artifacts:\n  - name: runner\n    attestations:\n    - name: unit-test\n      type: junit\n";
        let template = parse_template(text).unwrap().unwrap();
        assert_eq!(template.content, text);
        assert_eq!(template.rules.artifacts()[0].attestations[0].kind, "junit");
        assert_eq!(parse_template("version: 1").unwrap().unwrap().rules.trail, None);
        assert_eq!(parse_template("version: 1\ntrail:\n").unwrap().unwrap().rules.trail, None);
        assert_eq!(parse_template(""), Ok(None));
    }

    #[test]
    fn malformed_template_is_rejected_with_a_short_message_and_alias_bombs_too() {
        let cases = [
            "a: [",
            "- 1",
            "version: 2",
            "version: 1\ntrial: {}",
            "version: x",
            "{}",
            "\u{0}",
            "version: 1\ntrail:\n  attestations:\n  - {name: a, type: xunit}\n  - {name: a, type: junit}\n",
        ];
        for text in cases {
            let refused = parse_template(text).unwrap_err();
            assert!(refused.contains("validation errors for Template: "), "{text}: {refused}");
            assert!(!refused.contains('\n') && refused.len() < 400, "{refused}");
        }
        // Aliases that grow without end.
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            bomb = format!("{bomb}a{level}: &a{level} [{}]\n", vec![alias; 9].join(", "));
        }
        assert!(parse_template(&bomb).is_err());
        assert!(parse_template(&"[".repeat(50_000)).is_err());
        assert!(parse_template(&format!("version: 1\n#{}", "x".repeat(70_000))).is_err());
    }
}
