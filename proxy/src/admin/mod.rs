//! What operators ask the proxy itself.

pub mod show;
