//! The agent's end of the control socket.

use super::{is_trusted, name, places};
use crate::config::Config;
use crate::config::types::ControlSocket;
use crate::desk::Desk;
use serde_json::json;
use std::fs::{self, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tracing::{info, warn};

/// Connections served at once; one more is told to come back later.
const CONNECTIONS_MAX: usize = 8;

/// Longest request in bytes.
const REQUEST_BYTES_MAX: u64 = 64;

/// Longest time that a client may take for its request, or for taking in a part of the answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(1);

/// Longest time that a flush may be waited for.
const FLUSH_PATIENCE_MAX: Duration = Duration::from_secs(60);

/// Pause after an accept that failed: out of descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Stack of a thread that serves a connection.
const STACK_BYTES: usize = 256 << 10;

/// The socket of a running agent; its file goes with it.
pub(crate) struct Server {
    path: PathBuf,
    inode: u64,
}

impl Server {
    /// Binds the socket and serves it from a thread of its own. The agent can do without, so a
    /// failure is told and no more.
    pub(crate) fn start(config: &Config, desk: &Arc<Desk>) -> Option<Self> {
        let mut failures = Vec::new();
        let name = name(&desk.facts().listen.addresses);
        let bound = places(config, &name).iter().find_map(|path| {
            bind(path).map_err(|why| failures.push(format!("{}: {why}", path.display()))).ok()
        });
        let Some((listener, server)) = bound else {
            tell(config, &failures);
            return None;
        };
        let desk = Arc::clone(desk);
        let thread = thread::Builder::new().name("control".to_owned()).stack_size(STACK_BYTES);
        if let Err(why) = thread.spawn(move || serve(&listener, &desk)) {
            tell(config, &[why.to_string()]);
            return None;
        }
        info!("control socket: {}", server.path.display());
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Another agent may have taken the place.
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Says that there is no control socket: a warning only where one was asked for.
fn tell(config: &Config, failures: &[String]) {
    let failures = failures.join("; ");
    match config.process.control_socket {
        ControlSocket::Off => {}
        ControlSocket::Auto => info!("no control socket: {failures}"),
        ControlSocket::Path(_) => warn!("no control socket: {failures}"),
    }
}

/// Binds the socket, in place of one that nobody listens on any more.
fn bind(path: &Path) -> io::Result<(UnixListener, Server)> {
    let listener = match UnixListener::bind(path) {
        Err(why) if why.kind() == io::ErrorKind::AddrInUse => {
            match UnixStream::connect(path) {
                Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => {}
                _ => return Err(why),
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }?;
    // Who connects before this is done is looked at all the same.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(path)?.ino();
    Ok((listener, Server { path: path.to_owned(), inode }))
}

/// Serves connections for as long as the process lives.
fn serve(listener: &UnixListener, desk: &Arc<Desk>) {
    // Each connection's thread holds a clone: their number is that of the open connections.
    let open = Arc::new(());
    loop {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        if !is_trusted(&stream) || Arc::strong_count(&open) > CONNECTIONS_MAX {
            continue;
        }
        let (desk, ticket) = (Arc::clone(desk), Arc::clone(&open));
        // No thread can be had: the client finds the connection closed.
        let _ = thread::Builder::new().name("control".to_owned()).stack_size(STACK_BYTES).spawn(
            move || {
                let _ticket = ticket;
                // A client that has gone away needs no answer.
                let _ = serve_one(stream, &desk);
            },
        );
    }
}

/// Answers the one line of a connection.
fn serve_one(mut stream: UnixStream, desk: &Desk) -> io::Result<()> {
    #[cfg(feature = "planted-faults")]
    crate::faults::look("control");
    stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
    stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
    let mut request = String::new();
    (&stream).take(REQUEST_BYTES_MAX).read_to_string(&mut request)?;
    let answer = match request.trim_end().split_once(' ') {
        None if request.trim_end() == "status" => desk.status(),
        Some(("flush", ms)) => match ms.parse() {
            Ok(ms) => desk.flush(Duration::from_millis(ms).min(FLUSH_PATIENCE_MAX)),
            Err(_) => Err("a flush needs its time in milliseconds".to_owned()),
        },
        _ => Err("neither status nor flush".to_owned()),
    };
    let answer = answer.unwrap_or_else(|why| json!({ "error": why }));
    stream.write_all(answer.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lastdrop-{name}-{}.sock", std::process::id()))
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced_and_one_in_use_is_not() {
        let path = path("control-stale");
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, server) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let in_use = bind(&path).map(|_| ()).unwrap_err();
        assert_eq!(in_use.kind(), io::ErrorKind::AddrInUse);
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_somebody_else_put_in_the_place_stays() {
        let path = path("control-other");
        let (_listener, server) = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        // An inode number may be used again at once; then the two can't be told apart.
        let same = inode == server.inode;
        drop(server);
        assert!(same || path.exists());
        let _ = fs::remove_file(&path);
    }
}
