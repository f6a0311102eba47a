//! Bounds of headers, bodies, queues and connections, each with its unit and reason.
