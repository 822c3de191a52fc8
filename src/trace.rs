//! What a `tracing` subscriber is told, with the feature of that name; without it nothing of this
//! is compiled.
//!
//! At info and above nothing tells who somebody is, or where: no name, fingerprint, handle, key,
//! address, nor anything that was said. Debug adds the names of relays. Sealing, opening and
//! forwarding say nothing at all: an event may take a lock and allocate.

#[allow(unused_macros, reason = "media alone tells nothing")]
macro_rules! trace_event {
    ($level:ident, $($told:tt)*) => {{
        #[cfg(feature = "tracing")]
        ::tracing::event!(target: "sottovoce", ::tracing::Level::$level, $($told)*);
    }};
}
