//! `envsnap proof`: a bundle that proves what ran in an environment.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::expression::{end_of_second, environment_name, first_line, time};
use super::print;
use super::server_args::ConnectionArgs;
use super::terminal::{ColourChoice, Terminal};
use crate::recorder::domain::Micros;
use crate::recorder::proof::{AttachmentRef, Bundle, Ledger, Scope};

/// Make a bundle that proves what ran in an environment
///
/// The bundle is one tar file with a report for people (report.html), tables (CSV), snapshots, the
/// evidence for what ran with its files, the times that no report covers, and the organization's whole
/// ledger up to now. 'envsnap verify FILE' checks it without the recorder.
///
/// The server has to be a recorder of this project. Anyone who has the bundle can read the ledger, and so
/// what is recorded of every environment and flow of the organization.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  envsnap proof aws-prod --since 2026-11-01 --until 2026-12-01 -o november.tar
  envsnap proof aws-prod --db snapshots.db -o aws-prod.tar

A bundle answers questions without the recorder:
  envsnap env get 'aws-prod@{2026-11-26 16:00}' --db november.tar")]
pub(super) struct Arguments {
    /// The environment
    #[arg(value_name = "NAME", value_parser = environment_name)]
    name: String,
    /// From when on; from the first snapshot, unless this is given
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Until when; until the last report that the ledger has, unless this is given
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// The file to write, which must not exist yet
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    server: ConnectionArgs,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { name, since, until, output: file, server } = arguments;
    let terminal = Terminal::detect(ColourChoice::Never);
    let time_line = first_line([("Since ", since), ("until ", until)], &terminal);
    let moment = |time| Micros(end_of_second(time).as_microsecond());
    let [since, until] = [since, until].map(|time| time.map(moment));
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        bail!("--since is not before --until");
    }
    if file.try_exists()? {
        bail!("{} exists already: name another file", file.display());
    }
    if let Some(bundle) = server.bundle() {
        bail!("{} is a proof bundle already: hand it on as it is", bundle.display());
    }
    let connection = server.connect().await?;
    let head = connection.client.ledger_head().await?;
    let mut entries = Vec::new();
    while entries.len() < usize::try_from(head.head.seq)? {
        let page = connection.client.ledger_entries(entries.len() as u64).await?;
        if page.is_empty() {
            bail!("the server's ledger ends before its head: {}", head.head);
        }
        entries.extend(page);
    }
    entries.truncate(usize::try_from(head.head.seq)?);
    let ledger = Ledger::new(head, entries)?;
    let bundle = Bundle::new(Scope::new(&connection.org, &name, since, until), ledger).await?;
    let client = &connection.client;
    let fetch = |AttachmentRef { flow, trail, attestation, .. }: &AttachmentRef| {
        let fetched = Handle::current().block_on(client.attachment(flow, trail, attestation));
        fetched.map_err(io::Error::other)
    };
    // One file after the other: all of them may be larger than the memory.
    let written = block_in_place(|| {
        let target = create_new_file(&file)?;
        let summary = bundle.write(BufWriter::new(&target), fetch)?;
        target.sync_all()?;
        Ok::<_, anyhow::Error>(summary)
    });
    // What is there of it proves nothing.
    let summary = written.inspect_err(|_| drop(std::fs::remove_file(&file)))?;
    print(&format!("{time_line}Wrote {}.\n\n{}", file.display(), summary.describe()))?;
    Ok(())
}

/// Opens a file for writing, which must not exist yet.
fn create_new_file(file: &Path) -> anyhow::Result<File> {
    let created = OpenOptions::new().write(true).create_new(true).open(file);
    created.with_context(|| format!("cannot write {}", file.display()))
}
