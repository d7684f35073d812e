//! One connection to a client.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::SystemTime;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::write_timeout::WriteTimeout;

/// The end of the year 9999 in seconds since the Unix epoch: HTTP dates end there.
const MAX_DATE_SECS: u64 = 253_402_300_800;

pub(crate) type Connection = http1::Connection<TokioIo<WriteTimeout>, TowerToHyperService<Router>>;

/// Serves `connection` until it ends; it is shut down gracefully once `ending` is true.
///
/// hyper formats a date in each poll and panics if the clock is before 1970 or after 9999, which
/// would reset every connection. In that case it is not polled, and the remaining stream is
/// returned for a prepared response.
pub(crate) async fn serve(
    mut connection: Connection,
    mut ending: watch::Receiver<bool>,
) -> Option<TcpStream> {
    let mut ending = pin!(ending.wait_for(|ending| *ending));
    let mut is_ending = false;
    let has_ended = poll_fn(|cx| {
        if !has_http_date(SystemTime::now()) {
            return Poll::Ready(false);
        }
        let mut connection = Pin::new(&mut connection);
        if !is_ending && ending.as_mut().poll(cx).is_ready() {
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
        // A broken connection is not an error of the server.
        connection.poll(cx).map(|_ended| true)
    });
    let has_ended = has_ended.await;
    (!has_ended).then(|| connection.into_parts().io.into_inner().into_stream())
}

/// Whether HTTP dates can represent this time.
fn has_http_date(time: SystemTime) -> bool {
    time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() < MAX_DATE_SECS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_before_1970_or_after_9999_has_no_http_date() {
        let epoch = SystemTime::UNIX_EPOCH;
        let (second, end) = (Duration::from_secs(1), epoch + Duration::from_secs(MAX_DATE_SECS));
        assert!(has_http_date(epoch) && has_http_date(end - second));
        assert!(!has_http_date(epoch - second) && !has_http_date(end));
    }
}
