//! Unix sockets: connections within a machine, whose file says who may connect.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::spare::Spare;
use super::{Connection, Listener, Transport};
use crate::error::{Error, Result, id};

/// Unix sockets, addressed as `unix:/path` (or `unix:///path`). [`Tcp`](super::Tcp) takes such addresses
/// too, so a service needs no other transport for them.
///
/// Its owner alone may connect: the file has the mode 0600, and folders that are not there are made with
/// 0700; change the mode to let others in. A file that a process left behind is replaced; one that
/// answers, or is no socket, never is. The file goes with its listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unix;

/// The mode of the socket's file, and of folders that are made for it.
const MODE: u32 = 0o600;
const FOLDER: u32 = 0o700;
/// What others may do in a folder where they could put a socket of their own in our place.
const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;
/// How often, and after what time, it is tried to be alone with the folder.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

#[async_trait]
impl Transport for Unix {
    fn name(&self) -> &str {
        "unix"
    }

    async fn dial(&self, address: &str) -> Result<Connection> {
        let path = path(address)?;
        let socket = UnixStream::connect(path).await.map_err(|error| {
            let words = format!("connection error: dial unix {}: {error}", path.display());
            Error::internal(id::CLIENT, words)
                .with_source(error)
                .unprocessed()
        })?;
        Ok(Connection::new(socket, address.to_owned(), "unix:"))
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        let path = path(address)?;
        let failed = |error: io::Error| {
            let words = format!("cannot listen on {address}: {error}");
            Error::internal(id::SERVER, words).with_source(error)
        };
        let listener = bind(path).await.map_err(failed)?;
        let file = Bound::new(path.to_owned()).map_err(failed)?;
        Ok(Box::new(Listening {
            listener,
            address: format!("unix:{}", path.display()),
            spare: Spare::new(),
            _file: file,
        }))
    }
}

/// The path in an address.
fn path(address: &str) -> Result<&Path> {
    let path = address.strip_prefix("unix:").unwrap_or(address);
    let path = Path::new(path.strip_prefix("//").unwrap_or(path));
    if !path.is_absolute() || path.file_name().is_none() {
        let words = format!("{address} names no socket: it is written unix:/path/of/the/socket");
        return Err(Error::bad_request(id::CLIENT, words));
    }
    Ok(path)
}

async fn bind(path: &Path) -> io::Result<UnixListener> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(FOLDER)
        .create(folder)?;
    let mode = fs::metadata(folder)?.mode();
    if mode & WRITABLE != 0 && mode & STICKY == 0 {
        let words = format!(
            "others may write to {} (mode {:o}) and could replace the socket",
            folder.display(),
            mode & 0o7777
        );
        return Err(io::Error::new(ErrorKind::PermissionDenied, words));
    }
    // Alone with the folder, so that no other start takes our new socket for one left behind.
    let alone = fs::File::open(folder)?;
    for tried in 0.. {
        match alone.try_lock() {
            Ok(()) => break,
            Err(_) if tried < TRIES => sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
    remove_what_is_left(path).await?;
    let listener = UnixListener::bind(path)?;
    // Until here what the process lets others do with new files holds.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Removes a socket that nobody listens on.
async fn remove_what_is_left(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let words = "there is a file of that name, and it is no socket";
        return Err(io::Error::new(ErrorKind::AlreadyExists, words));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A full queue, or no right to ask: somebody is there.
        _ => Err(ErrorKind::AddrInUse.into()),
    }
}

/// A socket's file, removed with its listener unless another has taken its place.
#[derive(Debug)]
struct Bound {
    path: PathBuf,
    is: (u64, u64),
}

impl Bound {
    fn new(path: PathBuf) -> io::Result<Self> {
        let is = identity(&path)?;
        Ok(Self { path, is })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|is| is == self.is) {
            // Whoever starts next removes it otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[derive(Debug)]
struct Listening {
    listener: UnixListener,
    address: String,
    spare: Spare,
    _file: Bound,
}

#[async_trait]
impl Listener for Listening {
    fn address(&self) -> &str {
        &self.address
    }

    async fn accept(&mut self) -> Result<Connection> {
        let accepted = self.listener.accept().await;
        if let Err(error) = &accepted {
            let listener = &self.listener;
            self.spare
                .turn_away(error, |task| listener.poll_accept(task))
                .await;
        }
        let (socket, _) = accepted?;
        self.spare.keep();
        // A client's socket has no name; its process and user say more.
        let peer = match socket.peer_cred() {
            Ok(peer) => format!(
                "unix:pid={},uid={}",
                peer.pid().unwrap_or_default(),
                peer.uid()
            ),
            Err(_) => "unix:".to_owned(),
        };
        Ok(Connection::new(socket, peer, self.address.clone()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn address(folder: &tempfile::TempDir, name: &str) -> String {
        format!("unix:{}", folder.path().join(name).display())
    }

    #[tokio::test]
    async fn both_ends_say_who_they_are_and_the_file_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let address = address(&folder, "new/folder/socket");
        let mut listener = Unix.listen(&address).await.unwrap();
        assert_eq!(listener.address(), address);
        let file = folder.path().join("new/folder/socket");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, MODE);
        let made = fs::metadata(file.parent().unwrap()).unwrap();
        assert_eq!(made.mode() & 0o777, FOLDER);
        let spelled = address.replacen("unix:", "unix://", 1);
        let mut ours = Unix.dial(&spelled).await.unwrap();
        let mut theirs = listener.accept().await.unwrap();
        let own = format!("unix:pid={},uid=", std::process::id());
        assert!(theirs.peer.starts_with(&own), "{}", theirs.peer);
        assert_eq!((&*theirs.local, &*ours.peer), (&*address, &*spelled));
        ours.io.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        theirs.io.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
        drop(listener);
        assert!(!file.exists());
        let gone = Unix.dial(&address).await.unwrap_err();
        assert!(gone.is_unprocessed(), "{gone}");
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let left = address(&folder, "left");
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("left")).unwrap());
        let first = Unix.listen(&left).await.unwrap();
        let error = Unix.listen(&left).await.unwrap_err();
        assert!(error.detail().contains("in use"), "{error}");
        // Another has taken the place: the file is not ours to remove.
        fs::remove_file(folder.path().join("left")).unwrap();
        let second = Unix.listen(&left).await.unwrap();
        drop(first);
        Unix.dial(&left).await.unwrap();
        drop(second);

        fs::write(folder.path().join("file"), "mine").unwrap();
        let error = Unix.listen(&address(&folder, "file")).await.unwrap_err();
        assert!(error.detail().contains("it is no socket"), "{error}");
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn a_folder_that_others_may_write_to_and_a_path_that_is_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let error = Unix
            .listen(&address(&folder, "open/socket"))
            .await
            .unwrap_err();
        assert!(error.detail().contains("others may write"), "{error}");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        Unix.listen(&address(&folder, "open/socket")).await.unwrap();
        for wrong in ["unix:relative", "unix:", "unix:/", "127.0.0.1:1"] {
            let error = Unix.listen(wrong).await.unwrap_err();
            assert_eq!(error.code(), 400, "{wrong}: {error}");
        }
        let long = address(&folder, &"x".repeat(200));
        assert!(Unix.listen(&long).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_starts_at_once_one_has_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("left")).unwrap());
        let address = address(&folder, "left");
        #[expect(clippy::disallowed_methods, reason = "a test's own tasks")]
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let address = address.clone();
                tokio::spawn(async move { Unix.listen(&address).await })
            })
            .collect();
        let mut listening = Vec::new();
        for start in starts {
            listening.extend(start.await.unwrap().ok());
        }
        assert_eq!(listening.len(), 1);
        Unix.dial(&address).await.unwrap();
    }
}
