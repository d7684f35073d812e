//! A TCP proxy whose connections a test can let die while its own process is frozen.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc as sync};
use std::thread;

use tokio::io::{AsyncReadExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{broadcast, mpsc};

/// How the connections that are open die. New ones are not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// Closed.
    Closed,
    /// Reset.
    Reset,
    /// Forgotten on the way: the next bytes get a reset.
    Forgotten,
    /// Bytes are taken, and nothing ever comes back.
    Silent,
}

/// An order to the open connections to die in this way.
#[derive(Clone)]
struct Order {
    death: Death,
    done: sync::Sender<()>,
}

/// A TCP proxy with a thread of its own: its connections die even while the test, and the client in its
/// runtime, do nothing, as in a process that is frozen.
pub(crate) struct Proxy {
    pub(crate) url: String,
    orders: broadcast::Sender<Order>,
    opened: Arc<AtomicUsize>,
    swallowed: mpsc::UnboundedReceiver<()>,
}

impl Proxy {
    /// Starts a proxy to the server at this URL.
    pub(crate) fn start(url: &str) -> Self {
        let upstream: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let orders = broadcast::Sender::new(16);
        let opened = Arc::new(AtomicUsize::new(0));
        let (sender, swallowed) = mpsc::unbounded_channel();

        let (subscribe, count) = (orders.downgrade(), Arc::clone(&opened));
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let mut ended = subscribe.upgrade().unwrap().subscribe();
                loop {
                    let (client, _) = tokio::select! {
                        accepted = listener.accept() => accepted.unwrap(),
                        () = dropped(&mut ended) => return,
                    };
                    let Some(orders) = subscribe.upgrade() else { return };
                    count.fetch_add(1, Ordering::SeqCst);
                    let server = TcpStream::connect(upstream).await.unwrap();
                    tokio::spawn(carry(client, server, orders.subscribe(), sender.clone()));
                }
            });
        });
        Self { url, orders, opened, swallowed }
    }

    /// The number of connections that were opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// Lets every open connection die, and blocks this thread until it has.
    pub(crate) fn kill(&self, death: Death) {
        let (done, all_done) = sync::channel();
        drop(self.orders.send(Order { death, done }));
        while all_done.recv().is_ok() {}
    }

    /// Resolves when a silent connection took a request.
    pub(crate) async fn swallowed(&mut self) {
        self.swallowed.recv().await.unwrap();
    }
}

/// Resolves when the proxy is dropped.
async fn dropped(orders: &mut broadcast::Receiver<Order>) {
    while !matches!(orders.recv().await, Err(broadcast::error::RecvError::Closed)) {}
}

/// Copies bytes in both directions until an order comes, and then lets the connection die.
async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    mut orders: broadcast::Receiver<Order>,
    swallowed: mpsc::UnboundedSender<()>,
) -> io::Result<()> {
    let order = tokio::select! {
        carried = copy_bidirectional(&mut client, &mut server) => {
            carried?;
            return Ok(());
        }
        Ok(order) = orders.recv() => order,
    };
    drop(server);
    let Order { death, done } = order;
    let mut taken = [0; 4096];
    match death {
        Death::Closed => drop(client),
        Death::Reset => {
            client.set_zero_linger()?;
            drop(client);
        }
        Death::Forgotten => {
            drop(done);
            client.readable().await?;
            client.set_zero_linger()?;
        }
        Death::Silent => {
            drop(done);
            while client.read(&mut taken).await? > 0 {
                let _nobody_waits = swallowed.send(());
            }
        }
    }
    Ok(())
}
