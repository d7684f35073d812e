//! The archive of a bundle: one that another program packed, and hostile ones.

use std::path::PathBuf;
use std::process::Command;

use rusqlite::Connection;

use super::{Bundle, recorder_with_one_day, verify};

#[tokio::test]
async fn bundle_that_claims_40_gib_or_is_a_pipe_is_rejected_without_being_read_whole() {
    let recorder = recorder_with_one_day().await;
    let bundle = Bundle::create(&recorder, &[]).await;
    let original = bundle.bytes();
    let size = 40 << 30;
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_path("././@LongLink").unwrap();
    header.set_size(size);
    header.set_cksum();
    let file = std::fs::File::create(&bundle.path).unwrap();
    std::io::Write::write_all(&mut &file, header.as_bytes()).unwrap();
    // It takes no room on the disk.
    file.set_len(512 + size).unwrap();
    let refused = verify(&bundle.path, &[]).await.failed();
    assert!(refused.contains("it has something else than files"), "{refused}");

    // A ledger of zeros.
    let members = bundle_with_sparse_ledger(&original, size);
    std::fs::write(&bundle.path, &members).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&bundle.path).unwrap();
    file.set_len(members.len() as u64 + size).unwrap();
    let refused = verify(&bundle.path, &[]).await.failed();
    assert!(refused.contains("entry 1 of the ledger cannot be read"), "{refused}");

    let pipe = bundle.folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = verify(&pipe, &[]).await.failed();
    assert!(refused.contains("it is not a regular file"), "{refused}");
}

#[tokio::test]
async fn sqlite_file_in_place_of_a_bundle_is_refused_with_the_command_that_verifies_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("snapshots.db");
    Connection::open(&database).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    let refused = verify(&database, &[]).await.failed();
    let remedy = format!("verify it with: envsnap verify --db '{}'", database.display());
    assert!(refused.contains(&remedy), "{refused}");
}

/// The bundle up to and with the tar header of its ledger, which claims this size.
fn bundle_with_sparse_ledger(original: &[u8], size: u64) -> Vec<u8> {
    let mut archive = tar::Archive::new(original);
    let ledger = archive.entries().unwrap().map(Result::unwrap).last().unwrap();
    assert_eq!(ledger.path().unwrap().to_str(), Some("ledger.jsonl"));
    let end = usize::try_from(ledger.raw_header_position()).unwrap();
    let mut header = ledger.header().clone();
    header.set_size(size);
    header.set_cksum();
    [&original[..end], header.as_bytes()].concat()
}

/// Runs `script` in the bundle's folder, where `all` has its files unpacked, and gives the path of the
/// `new.tar` that it makes.
fn repack(bundle: &Bundle, script: &str) -> PathBuf {
    let folder = bundle.folder.path();
    let script = format!("rm -rf all new.tar && mkdir all && tar xf proof.tar -C all && {script}");
    let output = Command::new("sh").args(["-ec", &script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    folder.join("new.tar")
}

#[tokio::test]
async fn verify_tells_a_repacked_bundle_with_intact_files_from_one_with_changed_files() {
    let recorder = recorder_with_one_day().await;
    let bundle = Bundle::create(&recorder, &[]).await;
    let head = bundle.head().await.to_string();
    let intact = "are intact, and follow from its ledger and its attachments, but the archive around them is \
                  not the one that envsnap made: it was packed again";
    for (script, expected) in [
        ("tar cf new.tar -C all .", intact),
        ("cd all && tar cf ../new.tar --format=posix *", intact),
        ("cd all && tar cf ../new.tar --sort=name --owner=7 --mode=600 *", intact),
        // Nothing follows the end of an archive, and its padding is zero.
        ("cp proof.tar new.tar && echo more >> new.tar", intact),
        (
            "cp proof.tar new.tar && printf x | dd of=new.tar bs=1 seek=\
             $(($(stat -c %s new.tar) - 1)) conv=notrunc",
            intact,
        ),
        ("tar czf new.tar -C all .", "it is compressed. Decompress it first"),
        ("rm all/events.csv && tar cf new.tar -C all .", "events.csv does not follow from"),
        ("echo >> all/report.html && tar cf new.tar -C all .", "report.html does not follow from"),
        ("echo > all/virus.exe && tar cf new.tar -C all .", "virus.exe does not follow from"),
        (
            "tar cf new.tar -C all . && echo > report.html && tar rf new.tar report.html",
            "it has report.html twice",
        ),
        ("ln -s /etc/passwd all/link && tar cf new.tar -C all .", "something else than files"),
        ("tar cf new.tar all", "it has no bundle.json"),
    ] {
        let error = verify(&repack(&bundle, script), &["--head", &head]).await.failed();
        assert!(error.contains(expected), "{script}: {error}");
    }
    let same = repack(&bundle, "cp proof.tar new.tar");
    verify(&same, &["--head", &head]).await.success();
}
