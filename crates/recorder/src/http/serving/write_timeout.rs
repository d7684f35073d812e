//! Closes connections whose clients do not read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::http::metrics::Metrics;

/// A client must read at least [`MIN_READ_BYTES`] of a response in this time: unread responses are
/// held in memory.
const WINDOW: Duration = Duration::from_secs(30);

/// Of a response, in each [`WINDOW`]: two kilobytes a second.
const MIN_READ_BYTES: usize = 64 << 10;

/// A connection whose writes fail if its client reads too slowly.
#[derive(Debug)]
pub(crate) struct WriteTimeout {
    stream: TcpStream,
    /// When the window ends.
    end: Pin<Box<Sleep>>,
    /// The bytes written in the current window, if one has begun.
    window: Option<usize>,
    metrics: Metrics,
}

impl WriteTimeout {
    pub(crate) fn new(stream: TcpStream, metrics: Metrics) -> Self {
        Self { stream, end: Box::pin(sleep(WINDOW)), window: None, metrics }
    }

    /// The stream without the limit.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Accounts for an attempt to write `offered` bytes. The result is `TimedOut` if the client has read too
    /// little in the window that began when a write blocked.
    fn account_write(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                let in_window = self.window.unwrap_or_default() + count;
                let is_enough = count == offered || in_window >= MIN_READ_BYTES;
                self.window = self.window.filter(|_| !is_enough).map(|_| in_window);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if self.window.is_none() {
                    self.window = Some(0);
                    self.end.as_mut().reset(Instant::now() + WINDOW);
                }
                match self.end.as_mut().poll(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => {
                        self.metrics.slow_reader_closed();
                        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
                    }
                }
            }
        }
    }
}

impl AsyncRead for WriteTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for WriteTimeout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.account_write(cx, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.account_write(cx, parts.iter().map(|part| part.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
