//! Pages of a listing, and their tokens.
//!
//! A token says after which entry the next page begins, so that tasks which come and go between
//! two pages neither repeat nor hide the others. It is sealed with what it was given out for, so
//! that a token of another listing, or a made-up one, is recognized without remembering any.

use sha2::{Digest, Sha256};

use super::error::ApiError;

/// Length of the hash that a page token begins with.
const TOKEN_SEAL_CHARS: usize = 32;

/// A listing, as requested.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    /// What is listed, including filters: a token is valid for the same scope only.
    pub(super) scope: String,
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<&'a str>,
    /// The page size if `max_results` is omitted.
    pub(super) default_size: usize,
    /// A smaller page size of the world.
    pub(super) cap: Option<usize>,
    /// Whether every page has a token, so that the listing never ends.
    pub(super) endless: bool,
}

/// The start of a page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Position {
    /// The last entry of the page before; empty at the start.
    after: String,
    /// Pages past the end of an endless listing, so that tokens do not repeat.
    beyond: u64,
}

impl Listing<'_> {
    /// The requested page of `entries`, which are sorted, and the token of the next one.
    ///
    /// # Errors
    /// `InvalidParameterException` for a page size out of range or a token that was not given out
    /// for this listing.
    pub(super) fn page<'e>(
        &self,
        entries: impl Iterator<Item = &'e str>,
    ) -> Result<(Vec<&'e str>, Option<String>), ApiError> {
        let size = self.page_size()?;
        let start = self.start_position()?;
        let mut rest = entries.skip_while(|entry| *entry <= start.after.as_str()).peekable();
        let page: Vec<&str> = rest.by_ref().take(size).collect();
        let more = rest.peek().is_some();
        let next = Position {
            after: page.last().map_or(start.after, |last| (*last).to_owned()),
            beyond: start.beyond + u64::from(!more),
        };
        let token = (more || self.endless).then(|| next.to_token(&self.scope));
        Ok((page, token))
    }

    fn page_size(&self) -> Result<usize, ApiError> {
        let requested = match self.max_results {
            None => self.default_size,
            Some(requested) => usize::try_from(requested)
                .ok()
                .filter(|requested| (1..=100).contains(requested))
                .ok_or_else(|| {
                    ApiError::invalid_parameter("maxResults must be between 1 and 100.")
                })?,
        };
        Ok(self.cap.map_or(requested, |cap| requested.min(cap.max(1))))
    }

    fn start_position(&self) -> Result<Position, ApiError> {
        match self.next_token {
            None => Ok(Position::default()),
            Some(token) => Position::from_token(token, &self.scope)
                .ok_or_else(|| ApiError::invalid_parameter("Invalid token.")),
        }
    }
}

impl Position {
    fn to_token(&self, scope: &str) -> String {
        let place = format!("{}/{}", self.beyond, self.after);
        format!("{}{}", token_seal(scope, &place), hex::encode(place))
    }

    fn from_token(token: &str, scope: &str) -> Option<Self> {
        let (sealed, place) = token.split_at_checked(TOKEN_SEAL_CHARS)?;
        let place = String::from_utf8(hex::decode(place).ok()?).ok()?;
        if token_seal(scope, &place) != sealed {
            return None;
        }
        let (beyond, after) = place.split_once('/')?;
        Some(Self { after: after.to_owned(), beyond: beyond.parse().ok()? })
    }
}

/// A hash by which a token of another listing, or a made-up one, is recognized.
fn token_seal(scope: &str, place: &str) -> String {
    let mut seal = hex::encode(Sha256::digest(format!("{scope}\n{place}")));
    seal.truncate(TOKEN_SEAL_CHARS);
    seal
}
