//! TLS over any transport, with rustls and ring.
