//! Connections to the intake: names, addresses, proxies, TLS, and HTTP on top, driven by mio.
//!
//! Start at [`Pool`]. No runtime and no clock: time is an argument, and nothing here waits.

mod attempt;
mod dial;
mod exchange;
mod failure;
mod pool;
mod proxy;
mod resolve;
mod stream;
mod target;
mod tls;

pub use attempt::{Answer, ConnectionUse, Timeouts};
pub use exchange::Sent;
pub use failure::{
    Broken, ConnectFailure, Failure, Late, NotSent, Phase, ProxyFailure, ResolveFailure, TlsFailure,
};
pub use pool::{Pool, PoolError, PoolSettings};
pub use proxy::{NoProxy, NoProxyMatching, ProxySettings, ProxyUrl, ProxyUrlError};
pub use target::{Host, Scheme, Target, TargetError};
pub use tls::{Alpn, Roots, Tls, TlsSettings, TlsSetupError, TlsVersion, Trust, Verification};
