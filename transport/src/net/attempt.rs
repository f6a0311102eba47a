//! One attempt to have a request answered: from a name, or from an open connection, to the answer.
//!
//! ```text
//! Resolving ─► Dialing ─┬─────────────────────────────┬─► Exchanging ─► answer
//!                       └► Tunneling ─► Handshaking ──┘       ▲
//!                          (proxy)       (https)              │
//!                                              an idle connection
//! ```
//!
//! Nothing of a request is written before the state Exchanging, which an https target reaches only
//! with a verified certificate.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::net::TcpStream;
use mio::{Registry, Token};
use rustls::ClientConfig;

use super::dial::{Dial, Dialed};
use super::exchange::{Answered, Exchange, Sent, Turn};
use super::failure::{Broken, Failure, Late, NotSent, Phase, ProxyFailure};
use super::proxy::ProxyUrl;
use super::resolve::{Addresses, Lookup};
use super::stream::{Handshake, Stream};
use super::target::{Host, Target};
use crate::http::{
    Authority, BodySink, CloseReason, Purpose, Request, Response, Via, write_connect,
};
use crate::limits::{CONNECT_TIME_MAX, IDLE_TIME_MAX, REQUEST_TIME_MAX, TLS_HANDSHAKE_TIME_MAX};

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of the connection to the last byte of the answer.
    pub request: Duration,
    /// Resolving and connecting, all addresses together.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls_handshake: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// Age at which a connection gets no further request; none: it may serve for ever.
    pub connection_age: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: REQUEST_TIME_MAX,
            connect: CONNECT_TIME_MAX,
            tls_handshake: TLS_HANDSHAKE_TIME_MAX,
            idle: IDLE_TIME_MAX,
            connection_age: None,
        }
    }
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 999.
    pub status: u16,
    /// The beginning of the body, for the log, and its length.
    pub body: BodySink,
    /// What kind of connection brought it.
    pub connection: ConnectionUse,
    /// Why the connection could not be kept; `None` if it was.
    pub close: Option<CloseReason>,
    /// The value of `Retry-After`.
    pub retry_after: Option<Vec<u8>>,
    /// How much of the request had gone into a connection that turned out dead before.
    pub sent_before: Sent,
}

/// What kind of connection brought an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionUse {
    /// One opened for this request.
    New,
    /// One that had served before.
    Reused,
    /// One that had served before turned out dead, so a new one was opened: no error of anyone's.
    NewAfterDead,
}

/// What all attempts of a pool have in common.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) way: Way,
    pub(super) timeouts: Timeouts,
    pub(super) registry: Registry,
}

/// How the target is reached.
#[derive(Debug)]
pub(super) enum Way {
    /// In the clear.
    Plain,
    /// In the clear, through a proxy that reads along.
    Forwarded(ProxyUrl),
    /// Over TLS.
    Secure(Arc<ClientConfig>),
    /// Over TLS in a tunnel that a proxy makes.
    Tunneled(ProxyUrl, Arc<ClientConfig>),
}

/// A request of the pool's caller.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) request: Request,
    /// When the whole of it is late; set when its first attempt starts.
    pub(super) until: Instant,
    /// How much of it went into a connection that turned out dead.
    pub(super) sent_before: Sent,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) job: Job,
    token: Token,
    connection: ConnectionUse,
    /// When the current step is late; at most `job.until`.
    until: Instant,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Resolving,
    Dialing(Dial),
    Tunneling(Tunnel),
    Handshaking(Stream),
    Exchanging(Stream, Exchange),
    /// The attempt has told its outcome.
    Over,
}

/// A proxy being asked for a tunnel.
#[derive(Debug)]
struct Tunnel {
    stream: Stream,
    exchange: Exchange,
    /// For the TLS session inside.
    inside: Arc<ClientConfig>,
}

/// The next step, or how the attempt stands if there is none for now.
type Next = ControlFlow<Outcome, Step>;

/// How an attempt stands.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It waits for the socket, the resolver or its timeout.
    Waiting,
    /// It can go on at once, after the others had their turn.
    Hungry,
    /// It has an answer; the stream can be used again if it is there.
    Answered(Answer, Option<Stream>),
    /// The connection had served before and was dead: the request is to be sent on a new one. So
    /// much of it had gone into the dead one.
    Dead(Sent),
    /// It failed.
    Failed(Failure),
}

impl Attempt {
    /// Starts on a new connection. With `Lookup::Asked` it waits for [`resolved`](Self::resolved).
    pub(super) fn open(
        job: Job,
        token: Token,
        connection: ConnectionUse,
        plan: &Plan,
        lookup: Lookup,
        now: Instant,
    ) -> Result<Self, Failure> {
        let until = later(now, plan.timeouts.connect).min(job.until);
        let step = match lookup {
            Lookup::Known(addresses) => Step::Dialing(Dial::new(token, addresses, now, until)),
            Lookup::Asked => Step::Resolving,
            Lookup::Failed(why) => return Err(Failure::NotSent(NotSent::Resolve(why))),
        };
        Ok(Self { job, token, connection, until, step })
    }

    /// Starts on a connection that has served before.
    pub(super) fn reuse(job: Job, token: Token, plan: &Plan, stream: Stream) -> Self {
        let step = exchanging(&job, plan, stream);
        let until = job.until;
        Self { job, token, connection: ConnectionUse::Reused, until, step }
    }

    /// Takes the resolver's answer, if it waits for one.
    pub(super) fn resolved(&mut self, addresses: &Addresses, now: Instant) {
        if let Step::Resolving = self.step {
            let dial = Dial::new(self.token, Arc::clone(addresses), now, self.until);
            self.step = Step::Dialing(dial);
        }
    }

    pub(super) fn is_resolving(&self) -> bool {
        matches!(self.step, Step::Resolving)
    }

    /// Returns when something must happen though nothing came.
    pub(super) fn timeout(&self) -> Instant {
        match &self.step {
            Step::Dialing(dial) => dial.timeout().min(self.until),
            _ => self.until,
        }
    }

    /// Goes on as far as it can without waiting.
    pub(super) fn advance(&mut self, plan: &Plan, buffer: &mut [u8], now: Instant) -> Outcome {
        loop {
            let step = std::mem::replace(&mut self.step, Step::Over);
            let next = match step {
                Step::Resolving => Break(self.wait(step)),
                Step::Dialing(dial) => self.dial(dial, plan, now),
                Step::Tunneling(tunnel) => self.tunnel(tunnel, plan, buffer, now),
                Step::Handshaking(stream) => self.handshake(stream, plan),
                Step::Exchanging(stream, exchange) => {
                    return self.exchange(stream, exchange, buffer);
                }
                Step::Over => Break(Outcome::Waiting),
            };
            match next {
                Continue(step) => self.step = step,
                Break(outcome) => return outcome,
            }
        }
    }

    /// Says what it means for the request that a time is up.
    pub(super) fn late(&self, late: Late) -> Failure {
        let phase = match &self.step {
            Step::Resolving => Phase::Resolving,
            Step::Dialing(_) => Phase::Connecting,
            Step::Tunneling(_) => Phase::Tunneling,
            Step::Handshaking(_) => Phase::Handshaking,
            Step::Exchanging(_, exchange) if exchange.sent() != Sent::Nothing => {
                return broken(exchange, Broken::Late(late));
            }
            Step::Exchanging(..) | Step::Over => Phase::Sending,
        };
        Failure::NotSent(NotSent::Late(late, phase))
    }

    fn wait(&mut self, step: Step) -> Outcome {
        self.step = step;
        Outcome::Waiting
    }

    fn dial(&mut self, mut dial: Dial, plan: &Plan, now: Instant) -> Next {
        match dial.advance(&plan.registry, now) {
            Dialed::Pending => Break(self.wait(Step::Dialing(dial))),
            Dialed::Connected(socket) => self.connected(socket, plan, now),
            Dialed::Failed(why) => Break(Outcome::Failed(Failure::NotSent(NotSent::Connect(why)))),
        }
    }

    fn connected(&mut self, socket: TcpStream, plan: &Plan, now: Instant) -> Next {
        self.until = self.job.until;
        let stream = Stream::plain(socket, now);
        match &plan.way {
            Way::Plain | Way::Forwarded(_) => Continue(exchanging(&self.job, plan, stream)),
            Way::Secure(config) => self.secure(stream, config, plan, now),
            Way::Tunneled(proxy, config) => Continue(tunneling(plan, proxy, config, stream)),
        }
    }

    fn tunnel(&mut self, mut tunnel: Tunnel, plan: &Plan, buffer: &mut [u8], now: Instant) -> Next {
        let why = match tunnel.exchange.advance(&mut tunnel.stream, buffer) {
            Ok(Turn::Blocked) => return Break(self.wait(Step::Tunneling(tunnel))),
            Ok(Turn::Hungry) => {
                self.step = Step::Tunneling(tunnel);
                return Break(Outcome::Hungry);
            }
            Ok(Turn::Answered(response)) => match refusal(&response) {
                None => return self.secure(tunnel.stream, &tunnel.inside, plan, now),
                Some(why) => why,
            },
            Err(why) => ProxyFailure::Broken(why),
        };
        Break(Outcome::Failed(Failure::NotSent(NotSent::Proxy(why))))
    }

    /// Starts the TLS handshake.
    fn secure(
        &mut self,
        stream: Stream,
        config: &Arc<ClientConfig>,
        plan: &Plan,
        now: Instant,
    ) -> Next {
        self.until = later(now, plan.timeouts.tls_handshake).min(self.job.until);
        match stream.with_session(config, plan.target.server_name()) {
            Ok(stream) => Continue(Step::Handshaking(stream)),
            Err(why) => Break(Outcome::Failed(Failure::NotSent(NotSent::Tls(why)))),
        }
    }

    fn handshake(&mut self, mut stream: Stream, plan: &Plan) -> Next {
        match stream.handshake() {
            Ok(Handshake::Pending) => Break(self.wait(Step::Handshaking(stream))),
            Ok(Handshake::Complete) => {
                self.until = self.job.until;
                Continue(exchanging(&self.job, plan, stream))
            }
            // The stream is dropped here: the socket closes at once.
            Err(why) => Break(Outcome::Failed(Failure::NotSent(NotSent::Tls(why)))),
        }
    }

    fn exchange(
        &mut self,
        mut stream: Stream,
        mut exchange: Exchange,
        buffer: &mut [u8],
    ) -> Outcome {
        match exchange.advance(&mut stream, buffer) {
            Ok(Turn::Blocked) => self.wait(Step::Exchanging(stream, exchange)),
            Ok(Turn::Hungry) => {
                self.step = Step::Exchanging(stream, exchange);
                Outcome::Hungry
            }
            Ok(Turn::Answered(Response { status, close, retry_after, .. })) => {
                let body = exchange.take_body();
                let answer = Answer {
                    status,
                    body,
                    connection: self.connection,
                    close,
                    retry_after,
                    sent_before: self.job.sent_before,
                };
                let stream = match close {
                    None => Some(stream),
                    Some(_) => {
                        stream.close();
                        None
                    }
                };
                Outcome::Answered(answer, stream)
            }
            // A server may close an idle connection at any time; most likely it read nothing of
            // the request then.
            Err(_)
                if self.connection == ConnectionUse::Reused
                    && exchange.answered() == Answered::Nothing =>
            {
                Outcome::Dead(exchange.sent())
            }
            Err(why) => Outcome::Failed(broken(&exchange, why)),
        }
    }
}

/// Starts to ask the proxy for a tunnel to the target.
fn tunneling(plan: &Plan, proxy: &ProxyUrl, inside: &Arc<ClientConfig>, stream: Stream) -> Step {
    let mut head = Vec::new();
    write_connect(&tunnel_end(&plan.target), proxy.authorization(), &mut head);
    let exchange = Exchange::new(&stream, Purpose::Tunnel, head, Bytes::new());
    Step::Tunneling(Tunnel { stream, exchange, inside: Arc::clone(inside) })
}

/// Returns host and port for CONNECT, which wants the port even where it is the scheme's own.
fn tunnel_end(target: &Target) -> Authority {
    let port = target.port();
    let text = match target.host() {
        Host::Name(name) => format!("{name}:{port}"),
        Host::Address(address) => std::net::SocketAddr::new(*address, port).to_string(),
    };
    // A name and a port of a target are an authority; should they ever not be, the URL's own will
    // do.
    Authority::new(&text).unwrap_or_else(|_| target.authority().clone())
}

/// Says why a proxy's answer to CONNECT is no tunnel; `None` if it is one.
fn refusal(response: &Response) -> Option<ProxyFailure> {
    match response.status {
        200..=299 if response.leftover_bytes > 0 => Some(ProxyFailure::BytesBeforeTunnel),
        200..=299 => None,
        407 => Some(ProxyFailure::AuthenticationRequired),
        status => Some(ProxyFailure::Refused { status }),
    }
}

/// Starts to send the request.
fn exchanging(job: &Job, plan: &Plan, stream: Stream) -> Step {
    let via = match &plan.way {
        Way::Forwarded(proxy) => Via::Proxy { authorization: proxy.authorization() },
        Way::Plain | Way::Secure(_) | Way::Tunneled(..) => Via::Direct,
    };
    let mut head = Vec::new();
    job.request.write_head(plan.target.authority(), plan.target.prefix(), via, &mut head);
    let exchange = Exchange::new(&stream, Purpose::Exchange, head, job.request.body.clone());
    Step::Exchanging(stream, exchange)
}

/// Sorts a broken exchange by how much of the request left.
fn broken(exchange: &Exchange, why: Broken) -> Failure {
    match exchange.sent() {
        Sent::Nothing => Failure::NotSent(NotSent::Broken(why)),
        Sent::Part => Failure::WhileSending(why),
        Sent::Whole => Failure::NoAnswer(why),
    }
}

/// Adds, without the overflow that only an absurd setting could bring.
pub(super) fn later(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now)
}
