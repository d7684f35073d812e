//! An error with its causes, on one line.

use std::error::Error;

/// The messages of `error` and its causes, joined by colons. A cause is left out if its message is
/// already contained in the text.
///
/// Never the debug form: that of an SDK or HTTP error holds whole requests and answers, and so may
/// hold a secret.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
