//! Requests that AWS refuses because of the time in their signature.

use std::fmt;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};

use crate::excerpt::excerpt;
use envsnap_model::time::parse_http_date;

/// A smaller difference between a response's `Date` and the local time is ignored: AWS accepts
/// signatures that are up to five minutes off, so that it does not explain the refusal.
const MIN_DATE_OFFSET: SignedDuration = SignedDuration::from_mins(1);

/// AWS refused the time in a request's signature.
///
/// A function that was frozen between signing and sending is refused once, and a new signature is
/// accepted. If the next request is refused too, the local clock is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockSkew {
    /// The error's code and message.
    message: String,
    /// Local time minus the time of AWS, if it is known.
    offset: Option<SignedDuration>,
}

impl ClockSkew {
    /// The clock skew in an error of AWS; `None` if the error has another cause. `date` is the
    /// response's `Date` header, and `now` the local time.
    pub fn from_error(
        code: Option<&str>,
        message: Option<&str>,
        date: Option<&str>,
        now: SystemTime,
    ) -> Option<Self> {
        let (code, message) = (code?, message.unwrap_or_default());
        let about_time =
            message.contains("Signature expired") || message.contains("not yet current");
        match code {
            "RequestExpired" | "RequestTimeTooSkewed" => {}
            "InvalidSignatureException" | "SignatureDoesNotMatch" if about_time => {}
            _ => return None,
        }
        let now = Timestamp::try_from(now).ok();
        let from_date = || {
            let server = parse_http_date(date?)?;
            Some(now?.duration_since(server)).filter(|offset| offset.abs() >= MIN_DATE_OFFSET)
        };
        let offset = from_date().or_else(|| parse_offset(message));
        let text = format!("{code}: {message}");
        Some(Self { message: text.trim_end_matches([':', ' ', '.']).to_owned(), offset })
    }
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. The local clock is wrong: it is ", excerpt(&self.message))?;
        match self.offset {
            Some(offset) => {
                let by = SignedDuration::from_secs(offset.abs().as_secs());
                let side = if offset.is_positive() { "ahead of" } else { "behind" };
                write!(f, "{by:#} {side} the clock of AWS")?;
            }
            None => f.write_str("minutes away from the clock of AWS")?,
        }
        Ok(())
    }
}

/// Local time minus the time of AWS, from a message
/// `Signature expired: SIGNED is now earlier than LIMIT (SERVER - 5 min.)`, or the one
/// with `later` for a signature that is not yet current.
fn parse_offset(message: &str) -> Option<SignedDuration> {
    let mut times = message
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() == 16)
        .filter_map(|word| word.parse::<Timestamp>().ok());
    let signed = times.next()?;
    let server = times.nth(1)?;
    Some(signed.duration_since(server))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRED_MESSAGE: &str = "Signature expired: 20261127T225500Z is now earlier than \
                           20261127T225600Z (20261127T230100Z - 5 min.)";
    const NOT_YET_CURRENT_MESSAGE: &str = "Signature not yet current: 20261127T231000Z is still later than \
                         20261127T230600Z (20261127T230100Z + 5 min.)";

    fn skew_message(code: &str, message: &str, date: Option<&str>) -> Option<String> {
        let now: Timestamp = "2026-11-27T22:00:00Z".parse().unwrap();
        ClockSkew::from_error(Some(code), Some(message), date, now.into()).map(|it| it.to_string())
    }

    #[test]
    fn message_says_how_far_the_local_clock_is_ahead_of_or_behind_aws() {
        for (code, message, date, expected) in [
            ("InvalidSignatureException", EXPIRED_MESSAGE, None, "6m behind the clock of AWS"),
            (
                "SignatureDoesNotMatch",
                NOT_YET_CURRENT_MESSAGE,
                None,
                "9m ahead of the clock of AWS",
            ),
            (
                "InvalidSignatureException",
                EXPIRED_MESSAGE,
                Some("Fri, 27 Nov 2026 23:01:05 GMT"),
                "1h 1m 5s behind the clock of AWS",
            ),
            (
                "InvalidSignatureException",
                EXPIRED_MESSAGE,
                Some("Fri, 27 Nov 2026 22:00:05 GMT"),
                "6m behind the clock of AWS",
            ),
            ("RequestExpired", "", None, "minutes away from the clock of AWS"),
            ("RequestTimeTooSkewed", "too far", Some("nonsense"), "minutes away from"),
        ] {
            let text = skew_message(code, message, date).unwrap();
            assert!(text.contains(expected) && text.starts_with(code), "{text}");
        }
    }

    #[test]
    fn wrong_key_access_denied_and_expired_token_are_no_clock_skew() {
        for (code, message) in [
            ("InvalidSignatureException", "The request signature we calculated does not match"),
            ("AccessDeniedException", EXPIRED_MESSAGE),
            ("ExpiredTokenException", "The security token included in the request is expired"),
        ] {
            assert_eq!(skew_message(code, message, None), None, "{code}");
        }
    }
}
