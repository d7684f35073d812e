//! The body of a report.

use std::fmt;

use envsnap_model::snapshot::Fingerprint;
use envsnap_model::wire::ECS;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::json::{FromJson, Object, invalid, parse};
use super::text::{List, Text};
use crate::domain::{Error, MAX_REPLICAS, Origin, Report, ReportEntry};
use crate::http::error::quote;
use crate::http::views;

/// The most bytes of an ARN or a name: those of ECS are far shorter, and each is stored with every
/// artifact of its task.
const MAX_TEXT_BYTES: usize = 1_024;

/// The most images of one entry: a task definition has at most ten containers.
const MAX_DIGESTS: usize = 50;

/// The parsed `artifacts` of a report, before what they say together is checked.
#[derive(Debug)]
struct ReportEntries(Vec<ReportEntry>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportFields {
    artifacts: List<Object<EntryFields>, MAX_REPLICAS>,
    /// Older clients send the type in the body as well.
    #[serde(rename = "type")]
    environment_type: Option<Text<MAX_TEXT_BYTES>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryFields {
    #[serde(rename = "taskArn")]
    task_arn: Text<MAX_TEXT_BYTES>,
    cluster_name: Option<Text<MAX_TEXT_BYTES>>,
    service_name: Option<Text<MAX_TEXT_BYTES>>,
    digests: Digests,
    #[serde(rename = "creationTimestamp")]
    creation_timestamp: Seconds,
    origin: Option<Object<OriginFields>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginFields {
    task_definition: Option<Text<MAX_TEXT_BYTES>>,
    started_by: Option<Text<MAX_TEXT_BYTES>>,
    launch_type: Option<Text<MAX_TEXT_BYTES>>,
    availability_zone: Option<Text<MAX_TEXT_BYTES>>,
}

impl From<OriginFields> for Origin {
    fn from(fields: OriginFields) -> Self {
        let owned = |text: Option<Text<MAX_TEXT_BYTES>>| text.map(String::from);
        Self {
            availability_zone: owned(fields.availability_zone),
            launch_type: owned(fields.launch_type),
            started_by: owned(fields.started_by),
            task_definition: owned(fields.task_definition),
        }
    }
}

impl FromJson for ReportEntries {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let ReportFields { artifacts, environment_type } = parse(body)?;
        if environment_type.is_some_and(|given| &*given.0 != ECS) {
            return Err(invalid("type", format!("must be \"{ECS}\"")));
        }
        let entry = |Object(fields): Object<EntryFields>| ReportEntry {
            task_arn: fields.task_arn.0,
            cluster_name: fields.cluster_name.map(|name| name.0),
            service_name: fields.service_name.map(|name| name.0),
            digests: fields.digests.0,
            started_at: fields.creation_timestamp.0,
            origin: fields
                .origin
                .map(|Object(fields)| Origin::from(fields))
                .filter(|origin| *origin != Origin::default()),
        };
        Ok(Self(artifacts.0.into_iter().map(entry).collect()))
    }
}

impl FromJson for Report {
    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let report = Self::new(&ReportEntries::from_json(body)?.0)?;
        views::check_size(&report.running)?;
        Ok(report)
    }
}

/// Whole seconds since the Unix epoch.
struct Seconds(i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecondsVisitor;

        impl Visitor<'_> for SecondsVisitor {
            type Value = i64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer")
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<i64, E> {
                Ok(seconds)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<i64, E> {
                seconds.try_into().or_else(|_| self.visit_f64(0.5))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<i64, E> {
                Err(de::Error::custom("must be whole seconds since the Unix epoch"))
            }
        }

        deserializer.deserialize_i64(SecondsVisitor).map(Self)
    }
}

/// Digests by artifact name, ascending.
struct Digests(Vec<(Box<str>, Option<Fingerprint>)>);

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DigestsVisitor;

        impl<'de> Visitor<'de> for DigestsVisitor {
            type Value = Vec<(Box<str>, Option<Fingerprint>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let mut digests = Vec::new();
                while let Some((ArtifactName(name), digest)) = fields.next_entry()? {
                    match digest {
                        ReportedDigest::Known(fingerprint) => {
                            digests.push((name, Some(fingerprint)));
                        }
                        ReportedDigest::Unknown => digests.push((name, None)),
                        ReportedDigest::Invalid => {
                            return Err(de::Error::custom(format_args!(
                                "the digest of '{}' must be 64 lowercase hexadecimal digits, or \
                                 \"\" if it is not known",
                                quote(&name)
                            )));
                        }
                    }
                    if digests.len() > MAX_DIGESTS {
                        let problem = format_args!("must not hold more than {MAX_DIGESTS} images");
                        return Err(de::Error::custom(problem));
                    }
                }
                digests.sort_by(|(one, _), (other, _)| one.cmp(other));
                if let Some([(name, _), _]) = digests.array_windows().find(|[a, b]| a.0 == b.0) {
                    let problem = format_args!("'{}' is given twice", quote(name));
                    return Err(de::Error::custom(problem));
                }
                digests.shrink_to_fit();
                Ok(digests)
            }
        }

        deserializer.deserialize_map(DigestsVisitor).map(Self)
    }
}

/// The name of an artifact. Its length is checked here, so that the error's path does not repeat
/// all of it.
struct ArtifactName(Box<str>);

impl<'de> Deserialize<'de> for ArtifactName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ArtifactNameVisitor;

        impl Visitor<'_> for ArtifactNameVisitor {
            type Value = Box<str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Box<str>, E> {
                if name.len() > MAX_TEXT_BYTES {
                    return Err(de::Error::custom(format_args!(
                        "'{}' is longer than {MAX_TEXT_BYTES} bytes",
                        quote(name)
                    )));
                }
                Ok(name.into())
            }
        }

        deserializer.deserialize_str(ArtifactNameVisitor).map(Self)
    }
}

/// A digest of a report: a fingerprint, unknown (`""`), or anything else.
enum ReportedDigest {
    Known(Fingerprint),
    Unknown,
    Invalid,
}

/// Anything that is not a digest is [`ReportedDigest::Invalid`], so that the error names the image.
impl<'de> Deserialize<'de> for ReportedDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReportedDigestVisitor;

        impl<'de> Visitor<'de> for ReportedDigestVisitor {
            type Value = ReportedDigest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ReportedDigest, E> {
                Ok(match text.parse() {
                    Ok(fingerprint) => ReportedDigest::Known(fingerprint),
                    Err(_) if text.is_empty() => ReportedDigest::Unknown,
                    Err(_) => ReportedDigest::Invalid,
                })
            }

            fn visit_unit<E: de::Error>(self) -> Result<ReportedDigest, E> {
                Ok(ReportedDigest::Invalid)
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<ReportedDigest, E> {
                Ok(ReportedDigest::Invalid)
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<ReportedDigest, E> {
                Ok(ReportedDigest::Invalid)
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<ReportedDigest, E> {
                Ok(ReportedDigest::Invalid)
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<ReportedDigest, E> {
                Ok(ReportedDigest::Invalid)
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut elements: A,
            ) -> Result<ReportedDigest, A::Error> {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(ReportedDigest::Invalid)
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut fields: A,
            ) -> Result<ReportedDigest, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(ReportedDigest::Invalid)
            }
        }

        deserializer.deserialize_any(ReportedDigestVisitor)
    }
}

#[cfg(test)]
mod tests;
