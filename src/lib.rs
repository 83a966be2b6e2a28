//! pax-gateway.
