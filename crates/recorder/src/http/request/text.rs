//! Strings and lists with a limit, which refuse what is beyond it before it is kept.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A string of at most `MOST` bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<const MOST: usize>(pub(crate) Box<str>);

impl<'de, const MOST: usize> Deserialize<'de> for Text<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<const MOST: usize>;

        impl<const MOST: usize> Visitor<'_> for TextVisitor<MOST> {
            type Value = Box<str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Box<str>, E> {
                if text.len() > MOST {
                    return Err(E::custom(format_args!("must not be longer than {MOST} bytes")));
                }
                Ok(text.into())
            }
        }

        deserializer.deserialize_str(TextVisitor::<MOST>).map(Self)
    }
}

impl<const MOST: usize> From<Text<MOST>> for String {
    fn from(text: Text<MOST>) -> Self {
        text.0.into()
    }
}

/// A list of at most `MOST` elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List<T, const MOST: usize>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for List<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T, const MOST: usize>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for ListVisitor<T, MOST> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = elements.next_element()? {
                    if list.len() == MOST {
                        let problem = format_args!("must not hold more than {MOST} entries");
                        return Err(A::Error::custom(problem));
                    }
                    list.push(element);
                }
                Ok(list)
            }
        }

        let visitor = ListVisitor::<T, MOST>(std::marker::PhantomData);
        deserializer.deserialize_seq(visitor).map(Self)
    }
}
