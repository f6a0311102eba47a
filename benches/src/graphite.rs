//! A Graphite intake for servers that speak nothing else: takes lines of `path value second` over
//! TCP and keeps what each path said.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Longest line that is read; a longer one ends the connection.
const LINE_BYTES_MAX: usize = 64 << 10;

/// What one path said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Said {
    /// All values added up.
    pub sum: f64,
    /// The value that came last.
    pub last: f64,
}

/// A running intake; dropping it stops it.
#[derive(Debug)]
pub struct Graphite {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    paths: Mutex<HashMap<String, Said>>,
    stopped: AtomicBool,
}

impl Shared {
    /// A panic while counting leaves counts that will be found wrong; the lock stays usable.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Said>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Graphite {
    /// Binds a free port of the loopback and starts to serve.
    ///
    /// # Errors
    ///
    /// The system has no port, descriptor or thread left.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let thread = thread::Builder::new().name("graphite".to_owned()).spawn(move || {
            thread::scope(|scope| {
                // A client's thread ends with the client.
                let take_all = |stream| {
                    let serving = &serving;
                    scope.spawn(move || take(stream, serving));
                };
                for stream in listener.incoming().map_while(Result::ok) {
                    take_all(stream);
                    // Raised before the last connect, which is our own.
                    if serving.stopped.load(Ordering::Acquire) {
                        break;
                    }
                }
                // Whoever has connected by then is heard out.
                if listener.set_nonblocking(true).is_ok() {
                    listener.incoming().map_while(Result::ok).for_each(take_all);
                }
            });
        })?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until every client is gone, and hands out what was said.
    #[must_use]
    pub fn finish(&mut self) -> HashMap<String, Said> {
        self.end();
        self.shared.lock().clone()
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.shared.stopped.store(true, Ordering::Release);
            // Wakes the accept; if it fails nobody is there to be woken.
            drop(TcpStream::connect(self.address));
            let _ = thread.join();
        }
    }
}

impl Drop for Graphite {
    fn drop(&mut self) {
        self.end();
    }
}

fn take(stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        match io::Read::take(&mut reader, LINE_BYTES_MAX as u64).read_line(&mut line) {
            Ok(1..) if line.ends_with('\n') => {}
            _ => return,
        }
        let mut words = line.split_whitespace();
        let (Some(path), Some(Ok(value))) = (words.next(), words.next().map(str::parse::<f64>))
        else {
            continue;
        };
        let mut paths = shared.lock();
        let said = paths.entry(path.to_owned()).or_default();
        said.sum += value;
        said.last = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_path_is_summed_and_its_last_value_kept() {
        let mut graphite = Graphite::start().unwrap();
        let clients = [b"a 1 10\nb 2.5 10\nnonsense\na 4 20\n".as_slice(), b"b 1 20\nhalf 7"];
        for lines in clients {
            TcpStream::connect(graphite.address()).unwrap().write_all(lines).unwrap();
        }
        let said = graphite.finish();
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said["a"], Said { sum: 5.0, last: 4.0 });
        assert_eq!(said["b"].sum, 3.5);
    }
}
