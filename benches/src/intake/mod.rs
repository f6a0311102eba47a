//! A Datadog-compatible intake for tests, the demo and experiments: it takes what the real one
//! takes, counts it to the last sample, and can be told to misbehave.
//!
//! It stands on hyper and tokio on a thread of its own, so that the agent's HTTP client meets
//! somebody else's reading of HTTP.

mod act;
pub mod decode;
mod script;
mod serve;
#[cfg(test)]
mod tests;
mod tls;
mod totals;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use script::{Fault, STEPS, Script, ScriptError, Span};
pub use serve::Request;
pub use tls::Certificate;
pub use totals::{Last, Metric, StoredSeries, Totals};

use decode::{Check, Event};
use serve::Shared;

/// How to start an [`Intake`].
#[derive(Clone, Debug, Default)]
pub struct IntakeOptions {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Plain HTTP if `None`.
    pub tls: Option<Certificate>,
    /// Faults to play.
    pub script: Script,
}

/// A running intake; dropping it stops it.
#[derive(Debug)]
pub struct Intake {
    address: SocketAddr,
    ca_pem: Option<String>,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Intake {
    /// Binds the port and starts to serve; when this returns, a connect succeeds.
    ///
    /// # Errors
    ///
    /// The port is taken, or the system has no thread or descriptor left.
    pub fn start(options: IntakeOptions) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let identity = options.tls.map(tls::identity).transpose()?;
        let (ca_pem, tls) = identity.map(|id| (id.ca_pem, id.server)).unzip();
        let shared = Arc::new(Shared::new(options.script));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let server = serve::serve(listener, tls, Arc::clone(&shared), stopped);
        let thread = thread::Builder::new().name("intake".to_owned()).spawn(move || {
            // Dropping the runtime afterwards ends every connection that is still open.
            runtime.block_on(server);
        })?;
        Ok(Self { address, ca_pem, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The base URL, as `DD_DD_URL` wants it: `http://127.0.0.1:41234`, or `https://`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.ca_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate authority to trust, as PEM; `None` without TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Copies the totals as they stand.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shared.lock().store.totals.clone()
    }

    /// Every series kept under a metric name, in the order of their tags: those that are among the
    /// first 10,000.
    #[must_use]
    pub fn series(&self, metric: &str) -> Vec<StoredSeries> {
        self.shared.lock().store.series(metric)
    }

    /// Events in order of arrival, the first 10,000.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared.lock().store.events.clone()
    }

    /// Service checks in order of arrival, the first 10,000.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        self.shared.lock().store.checks.clone()
    }

    /// The log of requests in order of arrival, the first 100,000.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().log.clone()
    }

    /// Replaces the faults still to be played.
    pub fn set_script(&self, script: Script) {
        self.shared.lock().script = script;
    }

    /// Waits until the totals meet a condition; false if they don't within the time.
    #[must_use]
    pub fn wait_until(&self, condition: impl Fn(&Totals) -> bool, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        let mut state = self.shared.lock();
        loop {
            if condition(&state.store.totals) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.wait(state, left);
        }
    }

    /// Stops serving, closes every connection, and hands out the totals.
    #[must_use]
    pub fn stop(mut self) -> Totals {
        self.end();
        self.totals()
    }

    fn end(&mut self) {
        // Both are gone if it was stopped before; a server that panicked has nobody to tell.
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.end();
    }
}
