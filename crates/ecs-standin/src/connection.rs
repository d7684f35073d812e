//! Connections that can be reset from within a request.
//!
//! An HTTP server always answers, or closes in an orderly way. A network does neither when it
//! breaks, so the listener hands out streams with a [`SeverHandle`] that cuts them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A listener whose connections can be cut.
pub(super) struct SeverableListener(pub(super) TcpListener);

/// Cuts one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct SeverHandle(Arc<AtomicBool>);

impl SeverHandle {
    /// Resets the connection at the next write.
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Listener for SeverableListener {
    type Io = SeverableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (SeverableStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((tcp, peer)) => {
                    // Without it a small response can wait 40 ms. If it cannot be set the
                    // connection still works.
                    let _ = tcp.set_nodelay(true);
                    let line = SeverHandle::default();
                    return (SeverableStream { tcp, line }, peer);
                }
                // Out of file descriptors, most likely: others must close first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, SeverableListener>> for SeverHandle {
    fn connect_info(stream: IncomingStream<'_, SeverableListener>) -> Self {
        stream.io().line.clone()
    }
}

/// A TCP stream that a [`SeverHandle`] can cut.
pub(super) struct SeverableStream {
    tcp: TcpStream,
    line: SeverHandle,
}

impl SeverableStream {
    /// Fails if the connection was cut; closing it then resets it.
    fn check_writable(&self) -> io::Result<()> {
        if !self.line.is_cut() {
            return Ok(());
        }
        self.tcp.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for SeverableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for SeverableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_writable()?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_writable()?;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
