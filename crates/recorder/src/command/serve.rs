//! `serve`: the snapshot server on one file.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use envsnap_model::error_chain;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::task::JoinSet;

use super::heads::{HeadLog, HeadPublisher};
use crate::domain::EnvironmentStats;
use crate::http::{Access, LogWriter, raise_open_files_limit};
use crate::signing::HeadSigner;
use crate::store::Store as _;
use crate::store::sqlite::SqliteStore;
use crate::text::humanize_duration;
use crate::web::utc;
use crate::webhook::{Deliveries, Secret, Webhook};

/// The socket's send buffer in bytes. By default the kernel buffers megabytes for each client that
/// does not read its response.
const SEND_BUFFER: u32 = 128 << 10;

/// The listen backlog, in connections.
const BACKLOG: u32 = 1_024;

/// Run the snapshot server
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The SQLite file that holds environments and snapshots; created if it does not exist
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Where to listen; anything but loopback needs a token file
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Who may do what: a line a token, `TOKEN label=NAME org=ORG|* report|attest|write|read`; SIGHUP reads
    /// it again
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Start also if the file lacks acknowledged reports, for example after an old backup was
    /// restored; what is missing is logged
    #[arg(long)]
    accept_loss: bool,
    /// Sign heads with this key: a PEM file, as 'openssl genpkey -algorithm ed25519' writes it
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Append the heads of all organizations to this file, each minute in which they changed
    #[arg(long, value_name = "FILE")]
    head_log: Option<PathBuf>,
    /// Send a message to this address for each change: 'URL [org=ORG] [environment=NAME] [events=EVENT,…]'.
    /// The events are started, exited, scaled, rogue, first-time-here and no-report. May be repeated
    #[arg(long, value_name = "WEBHOOK", requires = "webhook_secret_file")]
    webhook: Vec<Webhook>,
    /// The secret that messages are signed with (standardwebhooks.com): a file with 'whsec_' and at least
    /// 24 bytes in base64
    #[arg(long, value_name = "FILE", requires = "webhook")]
    webhook_secret_file: Option<PathBuf>,
    /// The address under which others reach the recorder, for links in messages
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

/// Serves until SIGTERM or Ctrl-C. Writes only to `log`: standard error may be a full pipe without
/// a reader, which would block.
///
/// # Errors
/// The file or the token file cannot be used, or the address cannot be bound.
pub async fn run(arguments: Arguments, mut log: LogWriter) -> anyhow::Result<()> {
    let Arguments {
        db,
        listen,
        token_file,
        accept_loss,
        signing_key,
        head_log,
        webhook,
        webhook_secret_file,
        public_url,
    } = arguments;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("bug in the recorder: {}", panic.to_string().replace('\n', " "));
    }));
    let access =
        token_file.as_deref().map_or_else(|| Ok(Access::open()), Access::from_token_file)?;
    access.may_listen_on(listen)?;
    let signer = signing_key.as_deref().map(HeadSigner::from_file).transpose()?;
    let head_log = head_log.map(|path| HeadLog::open(path, &db)).transpose()?;
    let secret = webhook_secret_file.as_deref().map(Secret::from_file).transpose()?;
    raise_open_files_limit();
    let store =
        if accept_loss { SqliteStore::open_accepting_loss(&db) } else { SqliteStore::open(&db) }?;
    warn_if_clock_is_behind(&store).await;
    let listener = bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    // Before the line that says it is listening: a supervisor may send SIGTERM as soon as it reads
    // that.
    let mut terminated = signal(SignalKind::terminate())?;
    let hangups = signal(SignalKind::hangup())?;
    tokio::spawn(reload_on_hangup(access.clone(), token_file.clone(), hangups));
    let mut heads = HeadPublisher { store: store.clone(), signer: signer.clone(), log: head_log };
    let db = db.display();
    writeln!(log, "Recording in {db}; the page and the API are on http://{address}")?;
    if let Some(signer) = &signer {
        writeln!(log, "Heads are signed with key {}.", signer.public_key())?;
    }
    if token_file.is_none() {
        writeln!(
            log,
            "Without a token file it serves loopback only, and accepts any token or none."
        )?;
    }
    let stopped = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    let mut tasks = JoinSet::new();
    for webhook in webhook {
        let Some(secret) = secret.clone() else { continue };
        let store = store.clone();
        let deliveries = Deliveries::new(store, webhook, secret, public_url.as_deref()).await?;
        tasks.spawn(deliveries.run());
    }
    let served = tokio::select! {
        served = crate::serve(listener, store, access, signer, stopped) => served,
        never = heads.publish() => match never {},
    };
    // Each holds the store, which is closed before this ends.
    tasks.shutdown().await;
    heads.finish().await;
    Ok(served?)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Warns if the clock is behind the time of the latest report.
async fn warn_if_clock_is_behind(store: &SqliteStore) {
    let now = store.now();
    let environments = match store.stats().await {
        Ok(stats) => stats.by_environment,
        Err(error) => return tracing::error!("{}", error_chain(&error)),
    };
    let reported = environments.into_iter().filter_map(|it| Some((it.last_reported_at?, it)));
    let latest = reported.max_by_key(|(at, _)| *at);
    if let Some((at, EnvironmentStats { org, name, .. })) = latest.filter(|(at, _)| *at > now) {
        tracing::warn!(
            "the clock of this host says {}, which is {} behind the last report to environment \
             '{name}' of organization '{org}', of {}. If the clock is wrong, stop the recorder, \
             set the clock (with timedatectl, for example), and start again; if it is right, it \
             was ahead at that report, which keeps its time, and nothing needs to be done",
            utc(now.seconds()),
            humanize_duration(at.seconds() - now.seconds()),
            utc(at.seconds()),
        );
    }
}

/// Reads the token file again at each SIGHUP. If the file cannot be used, the current tokens stay.
async fn reload_on_hangup(access: Access, token_file: Option<PathBuf>, mut hangups: unix::Signal) {
    while hangups.recv().await.is_some() {
        let Some(path) = &token_file else {
            tracing::info!("ignored SIGHUP: there is no token file");
            continue;
        };
        match access.reload(path) {
            Ok(grants) => tracing::info!(grants, "reloaded the token file"),
            Err(error) => tracing::error!(
                "kept the current tokens: {}. Correct the file and send SIGHUP again",
                error_chain(&error)
            ),
        }
    }
}
