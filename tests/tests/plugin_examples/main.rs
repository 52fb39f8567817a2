//! The plugins of examples/plugins in front of real servers: each one's rule at
//! work in both protocols, and what happens when it cannot be kept.
#![allow(clippy::unwrap_used)]

mod broken;
mod canary;
mod cost_guard;
mod firewall;
mod house_rules;
mod least_load;
mod servers;
mod snippets;
mod tenant;
mod throttle;
