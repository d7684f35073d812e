//! Requests that AWS refuses because of the time in their signature.

use std::fmt;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};

use crate::excerpt::excerpt;
use envsnap_model::time::parse_http_date;

/// AWS accepts signatures that are up to five minutes off: a smaller offset is no explanation.
const MIN_OFFSET: SignedDuration = SignedDuration::from_mins(1);

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
            Some(now?.duration_since(server)).filter(|offset| offset.abs() >= MIN_OFFSET)
        };
        let offset = from_date().or_else(|| offset_in(message));
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
        f.write_str(". Set it, and keep it in step by NTP")
    }
}

/// Parses `Signature expired: SIGNED is now earlier than LIMIT (SERVER - 5 min.)`, and the same
/// with `later` for one that is not yet current.
fn offset_in(message: &str) -> Option<SignedDuration> {
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

    const EXPIRED: &str = "Signature expired: 20261127T225500Z is now earlier than \
                           20261127T225600Z (20261127T230100Z - 5 min.)";
    const EARLY: &str = "Signature not yet current: 20261127T231000Z is still later than \
                         20261127T230600Z (20261127T230100Z + 5 min.)";

    fn skew(code: &str, message: &str, date: Option<&str>) -> Option<String> {
        let now: Timestamp = "2026-11-27T22:00:00Z".parse().unwrap();
        ClockSkew::from_error(Some(code), Some(message), date, now.into()).map(|it| it.to_string())
    }

    #[test]
    fn the_error_says_by_how_much_the_local_clock_is_wrong() {
        for (code, message, date, expected) in [
            ("InvalidSignatureException", EXPIRED, None, "6m behind the clock of AWS"),
            ("SignatureDoesNotMatch", EARLY, None, "9m ahead of the clock of AWS"),
            (
                "InvalidSignatureException",
                EXPIRED,
                Some("Fri, 27 Nov 2026 23:01:05 GMT"),
                "1h 1m 5s behind the clock of AWS",
            ),
            (
                "InvalidSignatureException",
                EXPIRED,
                Some("Fri, 27 Nov 2026 22:00:05 GMT"),
                "6m behind the clock of AWS",
            ),
            ("RequestExpired", "", None, "minutes away from the clock of AWS"),
            ("RequestTimeTooSkewed", "too far", Some("nonsense"), "minutes away from"),
        ] {
            let text = skew(code, message, date).unwrap();
            assert!(text.contains(expected) && text.starts_with(code), "{text}");
        }
    }

    #[test]
    fn a_wrong_key_is_no_question_of_time() {
        for (code, message) in [
            ("InvalidSignatureException", "The request signature we calculated does not match"),
            ("AccessDeniedException", EXPIRED),
            ("ExpiredTokenException", "The security token included in the request is expired"),
        ] {
            assert_eq!(skew(code, message, None), None, "{code}");
        }
    }
}
