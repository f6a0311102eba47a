//! The engine of lastdrop: from bytes in a packet ring to closed buckets, with a proof that none is
//! left behind. No socket, no file, no thread and no clock of its own: time comes in as a value.
//!
//! ```text
//!  receiver ── PacketProducer ══ packet ring ══▶ Worker ══ bucket ring ══▶ Merge ──▶ series, sketches
//!              datagrams, marks                  message, context, bucket   closed buckets of all workers
//!                   │                               │                           │
//!                   └ committed epoch               └ applied epoch             └ proof, then flush
//! ```
//!
//! The modules stand in the order of the data: each may use those above it, none those below.

pub mod limits;
mod sync;
pub mod time;

pub mod datagram;
pub mod epoch;
pub mod ring;
pub mod wake;

pub mod context;
pub mod series;
pub mod frame;
pub mod message;
pub mod ledger;

pub mod enrich;
pub mod sketch;
pub mod bucket;
pub mod handover;
pub mod sampler;
pub mod worker;
pub mod stop;
pub mod merge;

pub mod inline;
