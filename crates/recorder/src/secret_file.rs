//! Files that hold secrets: tokens and keys.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use secrecy::{ExposeSecret as _, SecretString};

/// A kind of file that holds a secret: what messages call it, and its largest size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SecretFile {
    /// As messages call it.
    pub(crate) what: &'static str,
    /// The most that it may have.
    pub(crate) max_kib: u32,
}

/// A file that holds a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("cannot read the {what} {}", path.display())]
    Unreadable {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Other users may read or change it.
    #[error(
        "the {what} {} has mode {mode:04o}, so that {who}. Restrict it with chmod 600, or 640 if \
         its owner is not the recorder's user",
        path.display()
    )]
    Exposed {
        what: &'static str,
        path: PathBuf,
        mode: u32,
        /// Which users have which access.
        who: &'static str,
    },
    /// It is larger than any file of its kind.
    #[error("the {what} {} has more than {max_kib} KiB", path.display())]
    TooLarge { what: &'static str, path: PathBuf, max_kib: u32 },
    /// Only a file can be read a second time: a pipe might never end.
    #[error("cannot reload the {what} {}: it is not a regular file", path.display())]
    NotRegular { what: &'static str, path: PathBuf },
}

impl SecretFile {
    /// The content of the file at `path`, which may be a pipe, if other users have no access to it.
    pub(crate) fn read(self, path: &Path) -> Result<SecretString, SecretFileError> {
        let file = File::open(path).map_err(|source| self.unreadable(path, source))?;
        self.read_open(file, path)
    }

    /// Like [`Self::read`], but refuses anything but a regular file, and so never blocks on a pipe.
    pub(crate) fn read_regular(self, path: &Path) -> Result<SecretString, SecretFileError> {
        // Opening a pipe blocks until its other end is opened, unless it is opened with NONBLOCK.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty());
        let file = File::from(file.map_err(|error| self.unreadable(path, error.into()))?);
        if !file.metadata().map_err(|source| self.unreadable(path, source))?.is_file() {
            return Err(SecretFileError::NotRegular { what: self.what, path: path.to_owned() });
        }
        self.read_open(file, path)
    }

    /// The content of the open `file`, if other users have no access and it is not too large.
    fn read_open(self, file: File, path: &Path) -> Result<SecretString, SecretFileError> {
        let Self { what, max_kib } = self;
        // Of the open descriptor: the path may be replaced meanwhile.
        let found = file.metadata().map_err(|source| self.unreadable(path, source))?;
        if let Some(who) = access_of_others(&found, rustix::process::geteuid().as_raw()) {
            let mode = found.mode() & 0o7777;
            return Err(SecretFileError::Exposed { what, path: path.to_owned(), mode, who });
        }
        let max_bytes = u64::from(max_kib) << 10;
        let mut content = String::new();
        let read = file.take(max_bytes + 1).read_to_string(&mut content);
        let content = read
            .map(|_| SecretString::from(content))
            .map_err(|source| self.unreadable(path, source))?;
        if u64::try_from(content.expose_secret().len()).is_ok_and(|length| length > max_bytes) {
            return Err(SecretFileError::TooLarge { what, path: path.to_owned(), max_kib });
        }
        Ok(content)
    }

    fn unreadable(self, path: &Path, source: io::Error) -> SecretFileError {
        SecretFileError::Unreadable { what: self.what, path: path.to_owned(), source }
    }
}

/// Describes the access of users other than the file's owner and `this_user`, if they have any.
///
/// The group may read a file that another user owns, since the recorder could not read it
/// otherwise. systemd passes credentials this way: root owns them, and an access list, which is
/// shown as the group's permissions, names the service's user.
fn access_of_others(file: &Metadata, this_user: u32) -> Option<&'static str> {
    if !file.is_file() {
        // A pipe, as from `<(command)`, has no other readers.
        return None;
    }
    let may = |bits| file.mode() & bits != 0;
    if may(0o002) {
        Some("every user may change it")
    } else if may(0o020) {
        Some("its group may change it")
    } else if may(0o004) {
        Some("every user may read it")
    } else if may(0o040) && file.uid() == this_user {
        Some("its group may read it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn file_accessible_to_others_is_refused_except_group_read_of_another_users_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = |mode| {
            file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
            file.as_file().metadata().unwrap()
        };
        let owner = metadata(0o600).uid();
        for (mode, by_its_owner, by_another) in [
            (0o400, true, true),
            (0o600, true, true),
            // As systemd's LoadCredential shows its access list, and as a group of the service has it.
            (0o440, false, true),
            (0o640, false, true),
            (0o644, false, false),
            (0o604, false, false),
            (0o602, false, false),
            (0o620, false, false),
            (0o660, false, false),
            (0o666, false, false),
            (0o444, false, false),
        ] {
            let found = metadata(mode);
            assert_eq!(access_of_others(&found, owner).is_none(), by_its_owner, "{mode:o}");
            assert_eq!(access_of_others(&found, owner + 1).is_none(), by_another, "{mode:o}");
        }
    }
}
