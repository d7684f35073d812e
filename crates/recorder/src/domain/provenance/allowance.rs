//! Names of software that is allowed to run without provenance.

use envsnap_model::snapshot::ImageName;

/// A pattern of image or container names, with `*` for any characters. It has to match a whole name, or all of
/// a name before its tag or digest: `nginx` does not allow `evil/nginx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(Vec<String>);

impl NamePattern {
    /// Parses a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.split('*').map(str::to_owned).collect())
    }

    /// Whether it matches a name, such as `registry:5000/team/web:1.2@sha256:…`.
    pub fn matches(&self, name: &str) -> bool {
        let image = ImageName::new(name);
        let texts = [name, image.without_digest(), image.without_tag()];
        texts.into_iter().any(|text| self.matches_text(text))
    }

    /// Whether it matches this whole text.
    fn matches_text(&self, text: &str) -> bool {
        let [first, rest @ ..] = &self.0[..] else { return false };
        let Some(mut text) = text.strip_prefix(&**first) else { return false };
        let Some((last, between)) = rest.split_last() else { return text.is_empty() };
        for part in between {
            let Some(at) = text.find(&**part) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(&**last)
    }
}

/// Name patterns of sidecars that AWS itself adds to tasks, and why each is allowed. ECS reports no image for
/// these containers, so that their artifact has the container's name. The artifact of a container with an
/// image has the image's name, so that it cannot pretend to be one of them.
pub const BUILT_IN_ALLOWANCES: [(&str, &str); 2] = [
    ("aws-guardduty-agent*", "the agent of GuardDuty Runtime Monitoring, which AWS adds to tasks"),
    ("ecs-service-connect*", "the proxy of ECS Service Connect, which AWS adds to tasks"),
];

/// Why an artifact of this name is allowed, if it is a sidecar that AWS itself adds.
pub fn built_in_allowance(name: &str) -> Option<&'static str> {
    if name.contains(['/', ':', '@']) {
        return None;
    }
    let mut built_in = BUILT_IN_ALLOWANCES.into_iter();
    let (_, reason) = built_in.find(|(pattern, _)| NamePattern::new(pattern).matches_text(name))?;
    Some(reason)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_matches_a_whole_name_with_or_without_its_tag() {
        let cases = [
            ("nginx", "nginx", true),
            ("nginx", "nginx:1.27", true),
            ("nginx", "nginx:1.27@sha256:ab", true),
            ("nginx:1.27", "nginx:1.27@sha256:ab", true),
            ("nginx", "evil/nginx", false),
            ("nginx", "nginx/evil", false),
            ("nginx", "nginx2", false),
            ("nginx", "nginx@evil@sha256:ab", false),
            ("*", "anything:1", true),
            ("*/nginx", "library/nginx:1", true),
            ("registry:5000/web", "registry:5000/web:2", true),
            ("registry", "registry:5000/web", false),
            ("aws-guardduty-agent-*", "aws-guardduty-agent-x1", true),
            ("aws-guardduty-agent-*", "evil/aws-guardduty-agent-x1", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(NamePattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn container_name_of_an_aws_sidecar_is_allowed_and_an_image_name_with_its_prefix_is_not() {
        let cases = [
            ("aws-guardduty-agent", true),
            ("aws-guardduty-agent-FvWGoDU", true),
            ("ecs-service-connect-x1", true),
            ("aws-guardduty-agent-x/miner", false),
            ("aws-guardduty-agent-x:1", false),
            ("my-aws-guardduty-agent", false),
        ];
        for (name, expected) in cases {
            assert_eq!(built_in_allowance(name).is_some(), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn matching_any_pattern_with_any_name_never_panics(
            pattern in "[a:*/@é]{0,8}", name in "[a:/@é]{0,8}",
        ) {
            NamePattern::new(&pattern).matches(&name);
        }
    }
}
