//! Query parameters.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::problems::FieldErrors;
use crate::domain::{Error, Page};
use crate::http::error::quote;
use envsnap_model::expression::{Bound, Interval, TimePoint};
use envsnap_model::time::parse_unix_seconds;

/// Items in a page if `per_page` is not given, as on the hosted server.
const DEFAULT_PAGE_SIZE: u32 = 15;

/// The query parameters, and the problems of those that were read. Unknown parameters are ignored,
/// as on the hosted server.
pub(crate) struct Parameters {
    given: Vec<(String, String)>,
    problems: FieldErrors,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Query(given) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Error::bad_request(rejection.body_text()))?;
        Ok(Self { given, problems: FieldErrors::default() })
    }
}

impl Parameters {
    /// Every value of a parameter that may be repeated.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter; the last one if it is repeated.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn add_error(&mut self, name: &str, problem: impl Display) {
        self.problems.add(name.to_owned(), problem.to_string());
    }

    /// The requested page; by default the first one of 15 items. `max_size` limits its size.
    pub(crate) fn page(&mut self, max_size: u32) -> Page {
        Page {
            number: self.number("page", 1, u32::MAX),
            size: self.number("per_page", DEFAULT_PAGE_SIZE, max_size),
        }
    }

    /// A whole number from 1 to `max`. Records a problem and gives `default` if the value is none.
    pub(crate) fn number(&mut self, name: &str, default: u32, max: u32) -> u32 {
        let Some(value) = self.last(name) else { return default };
        if let Some(number) = value.parse().ok().filter(|number| (1..=max).contains(number)) {
            return number;
        }
        let problem = format!("must be a whole number from 1 to {max}, not '{}'", quote(value));
        self.add_error(name, problem);
        default
    }

    /// A boolean: `true`, `false` (in any case), `1` or `0`; false by default.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.last(name) {
            None => false,
            Some(value) if value.eq_ignore_ascii_case("true") || value == "1" => true,
            Some(value) if value.eq_ignore_ascii_case("false") || value == "0" => false,
            Some(value) => {
                let problem = format!("must be true or false, not '{}'", quote(value));
                self.add_error(name, problem);
                false
            }
        }
    }

    /// The one of `choices` that the parameter names. Records a problem if it names none.
    pub(crate) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let found = find_choice(self.last(name)?, choices);
        found.map_err(|problem| self.add_error(name, problem)).ok()
    }

    /// Those of `choices` that a parameter names, which may be repeated; `None` if it names none. Records a
    /// problem for each value that is not one of them.
    pub(crate) fn choices<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<Vec<T>> {
        let found: Vec<_> = self.all(name).map(|value| find_choice(value, choices)).collect();
        let mut chosen = Vec::new();
        for found in found {
            match found {
                Ok(choice) => chosen.push(choice),
                Err(problem) => self.add_error(name, problem),
            }
        }
        (!chosen.is_empty()).then_some(chosen)
    }

    /// The parsed value of a parameter. Records a problem if it cannot be parsed.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        match self.last(name)?.parse() {
            Ok(value) => Some(value),
            Err(problem) => {
                self.add_error(name, problem);
                None
            }
        }
    }

    /// The parameter `interval`: by default, all snapshots.
    pub(crate) fn interval(&mut self) -> Interval {
        self.parsed("interval").unwrap_or_default()
    }

    /// The `interval`, or else the range from `start` or `start_ts` to `end` or `end_ts`.
    pub(crate) fn interval_or_limits(&mut self) -> Interval {
        let limits = ["start", "start_ts", "end", "end_ts"];
        if self.last("interval").is_none_or(str::is_empty) {
            return Interval {
                from: self.start_or_end("start", "start_ts").unwrap_or_else(Bound::first),
                to: self.start_or_end("end", "end_ts").unwrap_or_else(Bound::latest),
            };
        }
        if limits.iter().any(|limit| self.last(limit).is_some()) {
            self.add_error("interval", "cannot be used with a start or an end");
        }
        self.interval()
    }

    /// The bound in parameter `name`, or in `in_seconds` as seconds since the Unix epoch.
    fn start_or_end(&mut self, name: &str, in_seconds: &str) -> Option<Bound> {
        let Some(seconds) = self.last(in_seconds) else { return self.parsed(name) };
        if let Some(seconds) = parse_unix_seconds(seconds) {
            if self.last(name).is_some() {
                self.add_error(in_seconds, format!("cannot be used with {name}"));
            }
            return Some(Bound::Time(TimePoint::At(seconds)));
        }
        let problem = format!("must be seconds since 1970, not '{}'", quote(seconds));
        self.add_error(in_seconds, problem);
        None
    }

    /// # Errors
    /// All problems that were recorded.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        std::mem::take(&mut self.problems).into_result()
    }
}

/// The one of `choices` that `value` names, or what is wrong with the value.
fn find_choice<T: Copy>(value: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let chosen = choices.iter().find(|(choice, _)| *choice == value);
    chosen.map(|(_, chosen)| *chosen).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
        format!("must be one of {}, not '{}'", names.join(", "), quote(value))
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use proptest::prelude::*;

    use super::*;

    fn parse_query(query: &str) -> Option<Parameters> {
        let request = Request::get(format!("/?{query}")).body(()).ok()?;
        let (mut parts, ()) = request.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Parameters::from_request_parts(&mut parts, &())).ok()
    }

    #[test]
    fn last_value_of_a_repeated_query_parameter_is_used() {
        let mut parameters = parse_query("page=2&per_page=3&page=4&x=1").unwrap();
        let page = parameters.page(100);
        assert_eq!((page.number, page.size), (4, 3));
        parameters.check().unwrap();
    }

    #[test]
    fn flag_parameter_accepts_true_or_false_in_any_case_and_1_or_0_only() {
        for (query, expected) in [
            ("", Some(false)),
            ("reverse=true", Some(true)),
            ("reverse=True", Some(true)),
            ("reverse=1", Some(true)),
            ("reverse=FALSE", Some(false)),
            ("reverse=0", Some(false)),
            ("reverse=", None),
            ("reverse=yes", None),
        ] {
            let mut parameters = parse_query(query).unwrap();
            let flag = parameters.flag("reverse");
            assert_eq!(parameters.check().is_ok().then_some(flag), expected, "{query}");
        }
    }

    #[test]
    fn choices_are_the_values_of_a_repeated_parameter_and_each_must_be_known() {
        let choices = [("one", 1), ("two", 2)];
        for (query, expected) in [
            ("", Some(None)),
            ("n=two", Some(Some(vec![2]))),
            ("n=two&m=x&n=one", Some(Some(vec![2, 1]))),
            ("n=two&n=three", None),
            ("n=one,two", None),
            ("n=", None),
        ] {
            let mut parameters = parse_query(query).unwrap();
            let chosen = parameters.choices("n", &choices);
            assert_eq!(parameters.check().is_ok().then_some(chosen), expected, "{query}");
        }
    }

    #[test]
    fn interval_with_start_or_end_and_malformed_bounds_are_rejected() {
        for (query, good) in [
            ("interval=1..2", true),
            ("interval=", true),
            ("interval=&start=1&end=NOW", true),
            ("start=1hour", true),
            ("start_ts=1700000000.5&end_ts=1700000001", true),
            ("interval=1..2&start=1", false),
            ("interval=1..2&end_ts=1", false),
            ("interval=x", false),
            ("start=1&start_ts=1", false),
            ("start_ts=NaN", false),
            ("end=yesterday", false),
        ] {
            let mut parameters = parse_query(query).unwrap();
            parameters.interval_or_limits();
            assert_eq!(parameters.check().is_ok(), good, "{query}");
        }
    }

    proptest! {
        #[test]
        fn parsing_page_flag_and_interval_of_any_query_does_not_panic(
            query in "(page|per_page|reverse|interval|start|end_ts)=.{0,20}(&.{0,20})?"
        ) {
            if let Some(mut parameters) = parse_query(&query) {
                parameters.page(100);
                parameters.flag("reverse");
                parameters.interval_or_limits();
                let _ = parameters.check();
            }
        }
    }
}
