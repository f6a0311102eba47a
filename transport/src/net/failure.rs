//! Why a request got no answer, kept apart by the one question that matters: did any of it leave?

use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustls::{AlertDescription, CertificateError};

use crate::http::ResponseError;

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// No byte of the request left: it is as unsent as before.
    NotSent(NotSent),
    /// A part of the request left, never its last byte.
    WhileSending(Broken),
    /// The whole request left and no complete answer came: its outcome is unknown.
    NoAnswer(Broken),
}

/// What kept a request from being sent.
#[derive(Clone, Debug, PartialEq)]
pub enum NotSent {
    /// The host's name gave no address.
    Resolve(ResolveFailure),
    /// No address took the connection.
    Connect(ConnectFailure),
    /// The proxy made no tunnel.
    Proxy(ProxyFailure),
    /// TLS was not agreed on, or the server did not prove who it is.
    Tls(TlsFailure),
    /// Time was up.
    Late(Late, Phase),
    /// The connection broke when the request was due.
    Broken(Broken),
    /// [`POOL_WAITING_MAX`](crate::limits::POOL_WAITING_MAX) requests were waiting already.
    TooManyWaiting,
}

/// What broke an exchange that had begun.
#[derive(Clone, Debug, PartialEq)]
pub enum Broken {
    /// The socket failed.
    Socket(io::ErrorKind),
    /// The TLS session failed.
    Tls(rustls::Error),
    /// The answer is no valid one, or ended early.
    Answer(ResponseError),
    /// Time was up.
    Late(Late),
}

/// Which time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// That of this step or of the whole request.
    Timeout,
    /// That of the caller, [`Pool::set_deadline`](super::Pool::set_deadline).
    Deadline,
}

/// How far a request was that never left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// For a free connection.
    Waiting,
    /// For the host's addresses.
    Resolving,
    /// For the TCP connection.
    Connecting,
    /// For the proxy's tunnel.
    Tunneling,
    /// For the TLS handshake.
    Handshaking,
    /// For the socket to take the first byte.
    Sending,
}

/// Why a name gave no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveFailure {
    /// The resolver's own words.
    Resolver(String),
    /// The resolver answered without any address.
    NoAddress,
    /// No thread could be started to ask the resolver.
    NoThread(io::ErrorKind),
}

/// Why no address took the connection; tells of the last one tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectFailure {
    /// The address.
    pub address: SocketAddr,
    /// What the kernel said; `TimedOut` where it said nothing in time.
    pub kind: io::ErrorKind,
    /// How many addresses were tried, this one included.
    pub tried: usize,
}

/// Why a proxy made no tunnel.
#[derive(Clone, Debug, PartialEq)]
pub enum ProxyFailure {
    /// 407: it wants a user and password, or others.
    AuthenticationRequired,
    /// Another status than 2xx.
    Refused {
        /// The status.
        status: u16,
    },
    /// It sent bytes of its own after its consent.
    BytesBeforeTunnel,
    /// The exchange with it broke.
    Broken(Broken),
}

/// Why there is no TLS session.
#[derive(Clone, Debug, PartialEq)]
pub enum TlsFailure {
    /// The server's certificate was refused: for another name, expired, from an unknown authority …
    Certificate(CertificateError),
    /// The server ended the handshake.
    RefusedByServer(AlertDescription),
    /// What came is no TLS that we speak.
    Protocol(rustls::Error),
    /// The server closed the connection during the handshake.
    Closed,
    /// The socket failed.
    Socket(io::ErrorKind),
}

impl Failure {
    /// Tells whether the server may have taken the request all the same: all of it left, or it was
    /// being sent when the caller's deadline cut it off.
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::WhileSending(Broken::Late(Late::Deadline)))
    }
}

impl From<rustls::Error> for TlsFailure {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(error),
            rustls::Error::AlertReceived(alert) => Self::RefusedByServer(alert),
            error => Self::Protocol(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) => write!(f, "not sent: {why}"),
            Self::WhileSending(why) => write!(f, "broken off while sending: {why}"),
            Self::NoAnswer(why) => write!(f, "sent, outcome unknown: {why}"),
        }
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(why) => write!(f, "the host has no address: {why}"),
            Self::Connect(why) => why.fmt(f),
            Self::Proxy(why) => write!(f, "no tunnel through the proxy: {why}"),
            Self::Tls(why) => write!(f, "no TLS session: {why}"),
            Self::Late(late, phase) => write!(f, "{late} while {phase}"),
            Self::Broken(why) => why.fmt(f),
            Self::TooManyWaiting => f.write_str("too many requests wait for a connection"),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(kind) => write!(f, "the connection failed: {kind}"),
            Self::Tls(error) => write!(f, "the TLS session failed: {error}"),
            Self::Answer(error) => error.fmt(f),
            Self::Late(late) => late.fmt(f),
        }
    }
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "timed out",
            Self::Deadline => "the deadline passed",
        })
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting for a free connection",
            Self::Resolving => "resolving the host's name",
            Self::Connecting => "connecting",
            Self::Tunneling => "waiting for the proxy",
            Self::Handshaking => "in the TLS handshake",
            Self::Sending => "sending",
        })
    }
}

impl fmt::Display for ResolveFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolver(text) => f.write_str(text),
            Self::NoAddress => f.write_str("the resolver knows the name but no address"),
            Self::NoThread(kind) => write!(f, "no thread to ask the resolver: {kind}"),
        }
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, kind, tried } = self;
        write!(f, "no connection to {address}: {kind} (addresses tried: {tried})")
    }
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthenticationRequired => {
                f.write_str("it wants user and password in its URL, or other ones (407)")
            }
            Self::Refused { status } => write!(f, "it answered {status}"),
            Self::BytesBeforeTunnel => f.write_str("it sent bytes of its own into the tunnel"),
            Self::Broken(why) => why.fmt(f),
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(CertificateError::UnknownIssuer) => f.write_str(
                "the certificate is from an unknown authority: name its file if it is your own",
            ),
            Self::Certificate(error) => write!(f, "the certificate was refused: {error}"),
            Self::RefusedByServer(alert) => write!(f, "the server refused: {alert:?}"),
            Self::Protocol(error) => write!(f, "{error}: is this a TLS port?"),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Socket(kind) => write!(f, "the connection failed: {kind}"),
        }
    }
}

impl std::error::Error for Failure {}
