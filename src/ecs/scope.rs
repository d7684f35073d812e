//! Which clusters and services belong to an environment.

use std::str::FromStr;

use regex_lite::Regex;

/// The part of an account that is an environment: its clusters, and the services in them.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub clusters: Selection<ClusterRef>,
    pub services: Selection<String>,
}

/// What to include, and what of that to exclude. An empty inclusion includes everything.
#[derive(Debug, Clone)]
pub struct Selection<N> {
    pub include: Filter<N>,
    pub exclude: Filter<N>,
}

/// Names and a regular expression. A name matches if either matches.
#[derive(Debug, Clone)]
pub struct Filter<N> {
    /// Whole names, case-sensitive.
    pub names: Vec<N>,
    /// An unanchored, case-sensitive expression.
    pub pattern: Option<Regex>,
}

impl<N> Default for Selection<N> {
    fn default() -> Self {
        Self { include: Filter::default(), exclude: Filter::default() }
    }
}

impl<N> Default for Filter<N> {
    fn default() -> Self {
        Self { names: Vec::new(), pattern: None }
    }
}

impl<N: AsRef<str>> Filter<N> {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.pattern.is_none()
    }

    pub fn matches(&self, name: &str) -> bool {
        self.names.iter().any(|n| n.as_ref() == name)
            || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(name))
    }
}

impl<N: AsRef<str>> Selection<N> {
    /// Whether nothing is included or excluded explicitly.
    pub fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    pub fn selects(&self, name: &str) -> bool {
        (self.include.is_empty() || self.include.matches(name)) && !self.exclude.matches(name)
    }
}

impl Selection<ClusterRef> {
    /// As [`Self::selects`]. An ARN excludes only the cluster of its account and region, unless `cluster` is
    /// given by its name.
    pub fn selects_cluster(&self, cluster: &ClusterRef) -> bool {
        (self.include.is_empty() || self.include.matches(cluster.name())) && !self.excludes(cluster)
    }

    fn excludes(&self, cluster: &ClusterRef) -> bool {
        let Filter { names, pattern } = &self.exclude;
        names.iter().any(|excluded| excluded.may_be(cluster))
            || pattern.as_ref().is_some_and(|pattern| pattern.is_match(cluster.name()))
    }

    /// Whether the clusters can only be found by listing all of them.
    pub fn needs_listing(&self) -> bool {
        self.include.names.is_empty() || self.include.pattern.is_some()
    }

    /// The named clusters that are not excluded.
    pub fn named(&self) -> impl Iterator<Item = &ClusterRef> {
        self.include.names.iter().filter(|cluster| !self.excludes(cluster))
    }
}

impl Selection<String> {
    /// Whether a task of `service` is selected. `None` is a standalone task, which any inclusion of
    /// services excludes.
    pub fn selects_task_of(&self, service: Option<&str>) -> bool {
        match service {
            Some(service) => self.selects(service),
            None => self.include.is_empty(),
        }
    }
}

/// A cluster as given in the configuration, by name or by ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRef {
    given: String,
    name_at: usize,
}

/// The text is not a cluster's name or ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cluster is a name of up to 255 letters, digits, hyphens and underscores, or an ARN like \
     arn:aws:ecs:eu-central-1:123456789012:cluster/NAME"
)]
pub struct ParseClusterError;

impl ClusterRef {
    /// The name or ARN as it was given.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The name, without the rest of an ARN.
    pub fn name(&self) -> &str {
        &self.given[self.name_at..]
    }

    /// The region in its ARN; `None` for a name.
    pub fn region(&self) -> Option<&str> {
        self.given.split(':').nth(3)
    }

    /// The account in its ARN; `None` for a name.
    pub fn account(&self) -> Option<&str> {
        self.given.split(':').nth(4)
    }

    /// Whether both may be the same cluster: a name may be of any account and region.
    pub fn may_be(&self, other: &Self) -> bool {
        self.name() == other.name() && self.may_be_in(other.region(), other.account())
    }

    /// Whether the cluster may be of this region and account, as far as these and its own are known.
    pub fn may_be_in(&self, region: Option<&str>, account: Option<&str>) -> bool {
        let same = |ours: Option<&str>, theirs: Option<&str>| {
            ours.zip(theirs).is_none_or(|(ours, theirs)| ours == theirs)
        };
        same(self.region(), region) && same(self.account(), account)
    }
}

impl AsRef<str> for ClusterRef {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

impl FromStr for ClusterRef {
    type Err = ParseClusterError;

    fn from_str(text: &str) -> Result<Self, ParseClusterError> {
        let name = if text.starts_with("arn:") {
            let parts: Vec<_> = text.splitn(6, ':').collect();
            let [_, _, "ecs", _, _, resource] = parts[..] else { return Err(ParseClusterError) };
            resource.strip_prefix("cluster/").ok_or(ParseClusterError)?
        } else {
            text
        };
        let is_name = (1..=255).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !is_name {
            return Err(ParseClusterError);
        }
        Ok(Self { given: text.to_owned(), name_at: text.len() - name.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(names: &[&str], pattern: Option<&str>) -> Filter<String> {
        Filter {
            names: names.iter().map(ToString::to_string).collect(),
            pattern: pattern.map(|pattern| Regex::new(pattern).unwrap()),
        }
    }

    #[test]
    fn selection_is_what_include_matches_by_name_or_pattern_and_exclude_does_not() {
        let everything = filter(&[], None);
        let cases = [
            (everything.clone(), everything.clone(), "web", true),
            (filter(&["web"], None), everything.clone(), "web", true),
            (filter(&["web"], None), everything.clone(), "web-2", false),
            (filter(&["web"], None), everything.clone(), "Web", false),
            (filter(&[], Some("we")), everything.clone(), "web", true),
            (filter(&[], Some("^eb")), everything.clone(), "web", false),
            (filter(&["db"], Some("^web")), everything.clone(), "db", true),
            (filter(&["db"], Some("^web")), everything.clone(), "web-2", true),
            (everything.clone(), filter(&["web"], None), "web", false),
            (everything.clone(), filter(&["web"], None), "db", true),
            (everything, filter(&[], Some("b$")), "db", false),
            (filter(&["web"], None), filter(&[], Some("w")), "web", false),
        ];
        for (include, exclude, name, expected) in cases {
            let selection = Selection { include, exclude };
            assert_eq!(selection.selects(name), expected, "{selection:?} {name}");
        }
    }

    #[test]
    fn arn_excludes_only_the_cluster_of_its_account_and_region() {
        let cluster = |text: &str| text.parse::<ClusterRef>().unwrap();
        let arn = |region: &str, account: &str| {
            cluster(&format!("arn:aws:ecs:{region}:{account}:cluster/app"))
        };
        let (eu, us) = ("eu-central-1", "us-east-1");
        let (own, other) = ("274425519734", "111111111111");
        for (excluded, is_selected) in [
            (arn(eu, own), false),
            (arn(us, own), true),
            (arn(eu, other), true),
            (cluster("app"), false),
            (cluster("web"), true),
        ] {
            let exclude = Filter { names: vec![excluded.clone()], pattern: None };
            let selection = Selection { include: Filter::default(), exclude };
            assert_eq!(selection.selects_cluster(&arn(eu, own)), is_selected, "{excluded:?}");
        }
    }

    #[test]
    fn including_services_excludes_standalone_tasks_but_excluding_services_does_not() {
        let including = Selection { include: filter(&["web"], None), exclude: filter(&[], None) };
        let excluding = Selection { include: filter(&[], None), exclude: filter(&["web"], None) };
        assert!(!including.selects_task_of(None));
        assert!(excluding.selects_task_of(None));
        assert!(Selection::<String>::default().selects_task_of(None));
    }

    #[test]
    fn cluster_is_parsed_from_a_name_or_an_ecs_cluster_arn_and_other_text_is_rejected() {
        let arn = "arn:aws-cn:ecs:cn-north-1:274425519734:cluster/app";
        for (text, name) in [("app", Some("app")), (arn, Some("app"))] {
            assert_eq!(text.parse::<ClusterRef>().ok().as_ref().map(ClusterRef::name), name);
        }
        for text in [
            "",
            "a b",
            "a/b",
            "app,db",
            "é",
            &"a".repeat(256),
            "arn:",
            "arn:aws:ecs:eu-central-1:274425519734:cluster/",
            "arn:aws:ecs:eu-central-1:274425519734:service/app",
            "arn:aws:rds:eu-central-1:274425519734:cluster/app",
        ] {
            assert_eq!(text.parse::<ClusterRef>(), Err(ParseClusterError), "{text}");
        }
    }

    #[test]
    fn cluster_included_by_name_and_excluded_by_arn_is_not_selected() {
        let arn = "arn:aws:ecs:eu-central-1:274425519734:cluster/app".parse().unwrap();
        let selection = Selection {
            include: Filter { names: vec!["app".parse().unwrap()], pattern: None },
            exclude: Filter { names: vec![arn], pattern: None },
        };
        assert!(!selection.selects("app"));
        assert_eq!(selection.named().count(), 0);
    }
}
