//! What operators ask the proxy itself.

pub mod route;
pub mod show;
