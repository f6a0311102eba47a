//! The server: reads requests with hyper, judges them, and answers, or does what the script says.
//!
//! A fault that no well-kept server would commit takes the connection out of hyper's hands: the
//! handler never returns, hyper gives back the stream untouched, and an [`Act`] is played on it.

use std::convert::Infallible;
use std::future::pending;
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::act::Act;
use super::decode::{self, Body, DecodeError, Form, Kind, Series};
use super::script::{Fault, Script};
use super::totals::{Store, digest};

/// Requests kept in the log.
const LOG_MAX: usize = 100_000;

/// Longest request body in bytes, as sent; the real intake's limit is 5 MiB.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// One request as it came, without its key.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// Milliseconds since the intake's start at which its last byte had been read.
    pub at_ms: u128,
    /// Number of its connection, from 1.
    pub connection: u64,
    /// `POST` or another.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Header fields, names in small letters, in order; without `dd-api-key`.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body as sent.
    pub body_bytes: usize,
    /// Tells two bodies apart.
    pub digest: u64,
    /// Status that it was answered with, or would have been had the script not stepped in.
    pub status: u16,
}

/// What the server's thread and the owner of the intake both see.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    started: Instant,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) script: Script,
    pub(super) log: Vec<Request>,
}

impl Shared {
    pub(super) fn new(script: Script) -> Self {
        let state = State { store: Store::default(), script, log: Vec::new() };
        Self { state: Mutex::new(state), changed: Condvar::new(), started: Instant::now() }
    }

    /// A panic while counting leaves counts that a test will find wrong; the lock stays usable.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        at_most: Duration,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// Accepts connections until told to stop.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let stream = tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of descriptors, or the peer was gone: the next one may do better.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(welcome(stream, tls.clone(), Arc::clone(&shared)));
    }
}

async fn welcome(stream: TcpStream, tls: Option<Arc<ServerConfig>>, shared: Arc<Shared>) {
    if shared.lock().script.take_deaf() {
        return pending().await; // Holds the connection until the intake stops.
    }
    let Some(tls) = tls else {
        return converse(stream, |stream| stream, shared).await;
    };
    match TlsAcceptor::from(tls).accept(stream).await {
        Ok(stream) => converse(stream, |stream| stream.get_ref().0, shared).await,
        Err(_) => shared.change(|state| state.store.totals.handshakes_failed += 1),
    }
}

/// Serves one connection to its end; `socket` finds the TCP stream below, to reset it.
async fn converse<S>(stream: S, socket: fn(&S) -> &TcpStream, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connection = 0;
    shared.change(|state| {
        state.store.totals.connections += 1;
        connection = state.store.totals.connections;
    });
    let (take_over, mut taken_over) = mpsc::channel(1);
    let handler = Handler { shared, connection, take_over };
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (head, body) = request.into_parts();
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler.answer(head, body).await) }
    });
    let mut http =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // What went wrong on the connection is the client's to report.
        _ = &mut http => {}
        Some(act) = taken_over.recv() => {
            let stream = http.into_parts().io.into_inner();
            // The client may give up at any moment: the act ends there.
            let _ = act.play(stream, socket).await;
        }
    }
}

/// Answers the requests of one connection.
#[derive(Clone)]
struct Handler {
    shared: Arc<Shared>,
    connection: u64,
    take_over: mpsc::Sender<Act>,
}

impl Handler {
    async fn answer(&self, head: Parts, mut body: Incoming) -> Response<Full<Bytes>> {
        let fault = match head.method {
            Method::POST => self.shared.lock().script.take(Instant::now()),
            _ => Fault::None,
        };
        if let Fault::Early(code) = fault {
            self.record(&head, &[], code, None);
            let mut answer = answer(code, None);
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return answer;
        }
        let body_bytes_max = if let Fault::Reset(bytes) = fault { bytes } else { usize::MAX };
        let body = match read_body(&mut body, body_bytes_max).await {
            Ok(body) => body,
            Err(Unread::TooLong) => {
                self.record(&head, &[], 413, None);
                return answer(413, None);
            }
            // Hyper ends the connection, and this future with it.
            Err(Unread::ClientGone) => return pending().await,
        };
        if matches!(fault, Fault::Reset(_)) {
            self.record(&head, &body, 0, None);
            return self.hand_over(Act::Reset).await;
        }
        if let Fault::Status { code, retry_after_s } = fault {
            self.record(&head, &body, code, None);
            return answer(code, retry_after_s);
        }
        let (code, verdict) = judge(&head, &body);
        self.record(&head, &body, code, verdict);
        match fault {
            Fault::Delay(pause) => tokio::time::sleep(pause).await,
            Fault::Drip(pause) => return self.hand_over(Act::Drip(pause)).await,
            Fault::Close => return self.hand_over(Act::Reset).await,
            Fault::Silent => return self.hand_over(Act::Silence).await,
            Fault::WrongLength => return self.hand_over(Act::WrongLength).await,
            Fault::EndlessHeaders => return self.hand_over(Act::EndlessHeaders).await,
            Fault::None | Fault::Status { .. } | Fault::Early(_) | Fault::Reset(_) => {}
        }
        answer(code, None)
    }

    /// Counts and logs a request; `verdict` is what its content came to, if that was looked at.
    fn record(
        &self,
        head: &Parts,
        body: &[u8],
        status: u16,
        verdict: Option<Result<Body, DecodeError>>,
    ) {
        let path = head.uri.path();
        let request = Request {
            at_ms: self.shared.started.elapsed().as_millis(),
            connection: self.connection,
            method: head.method.to_string(),
            path: path.to_owned(),
            headers: fields(head),
            body_bytes: body.len(),
            digest: digest(path, body),
            status,
        };
        self.shared.change(|state| {
            state.store.totals.requests += 1;
            if let Some(key) = key(head) {
                state.store.see_key(key);
            }
            match verdict {
                Some(Ok(mut body)) => {
                    forget_increment(state.script.forget_left(), &mut body);
                    state.store.accept(request.digest, body);
                }
                Some(Err(error)) => state.store.refuse(path, &error.to_string()),
                None => {}
            }
            if state.log.len() < LOG_MAX {
                state.log.push(request);
            }
        });
    }

    async fn hand_over<T>(&self, act: Act) -> T {
        // Fails only if the connection's task is gone, and this future with it.
        let _ = self.take_over.send(act).await;
        pending().await
    }
}

/// Finds the status that a request earns, and what its body came to if it was decoded.
fn judge(head: &Parts, body: &[u8]) -> (u16, Option<Result<Body, DecodeError>>) {
    let form = Form::of_path(head.uri.path());
    match (&head.method, head.uri.path(), form) {
        (&Method::GET, "/api/v1/validate", _) => match key(head) {
            Some(_) => (200, None),
            None => (403, None),
        },
        (&Method::POST, _, Some(_)) if key(head).is_none() => (403, None),
        (&Method::POST, _, Some(form)) => {
            let encoding = head.headers.get(CONTENT_ENCODING);
            let encoding = encoding.map(|value| value.to_str().unwrap_or("not text"));
            let verdict = decode::decode(form, encoding, body);
            (if verdict.is_ok() { 202 } else { 400 }, Some(verdict))
        }
        (_, _, Some(_)) => (405, None),
        (_, _, None) => (404, None),
    }
}

/// The API key: a field of a POST, a part of the query of the key check.
fn key(head: &Parts) -> Option<&str> {
    let field = head.headers.get("dd-api-key").and_then(|value| value.to_str().ok());
    let query = head.uri.query().unwrap_or_default();
    let in_query = query.split('&').find_map(|pair| pair.strip_prefix("api_key="));
    field.or(in_query).filter(|key| !key.is_empty())
}

fn fields(head: &Parts) -> Vec<(String, String)> {
    let fields = head.headers.iter().filter(|(name, _)| *name != "dd-api-key");
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    fields.map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// Why a body was not read to its end.
enum Unread {
    TooLong,
    ClientGone,
}

/// Reads the body, or as much of it as asked for.
async fn read_body(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, Unread> {
    let mut read = BytesMut::new();
    while read.len() < bytes_max {
        match body.frame().await {
            Some(Ok(frame)) => read.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(_)) => return Err(Unread::ClientGone),
            None => break,
        }
        if read.len() > REQUEST_BYTES_MAX {
            return Err(Unread::TooLong);
        }
    }
    read.truncate(bytes_max);
    Ok(read.freeze())
}

fn answer(code: u16, retry_after_s: Option<u32>) -> Response<Full<Bytes>> {
    let body = match code {
        200 => r#"{"valid":true}"#,
        202 => r#"{"errors":[]}"#,
        _ => r#"{"errors":["refused by the lab"]}"#,
    };
    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after_s {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Takes one increment off the first counter that has one, if one is still to be forgotten.
fn forget_increment(left: &mut u32, body: &mut Body) {
    let Body::Series(series) = body else { return };
    if *left == 0 {
        return;
    }
    for Series { kind, interval_s, points, .. } in series {
        let increment = match kind {
            Kind::Count => 1.0,
            Kind::Rate => 1.0 / f64::from(u32::try_from(*interval_s).unwrap_or(u32::MAX).max(1)),
            Kind::Gauge | Kind::Sketch => continue,
        };
        if let Some((_, value)) = points.iter_mut().find(|(_, value)| *value >= increment) {
            *value -= increment;
            *left -= 1;
            return;
        }
    }
}
