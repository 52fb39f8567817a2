//! How Waypool compiles plugins, and the one place for wasmtime's settings.
//!
//! The proxy compiles a plugin when it is started or swapped; the build
//! compiles the default plugins ahead of time, with the program
//! `build-plugins`. Both have to use the same settings, or the proxy could not
//! load what the build made.

mod component;
mod error;

pub use component::{Form, componentize, form_of};
pub use error::EngineError;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// wasmtime's version; part of the name of everything compiled.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// Core instances in one component: the guest, and what tools put around it so
/// that imports can reach the guest's memory. componentize-py makes 108. They
/// are only counted: none of them costs address space.
const CORE_INSTANCES_PER_COMPONENT: u32 = 128;
/// The guest's own, and those of what is put around it; componentize-qjs has
/// three of each.
const MEMORIES_PER_COMPONENT: u32 = 3;
const TABLES_PER_COMPONENT: u32 = 3;

/// An engine with room for `instances` plugins alive at a time, all threads
/// together.
///
/// The room is reserved address space (about 4 GiB an instance), not memory.
/// Precompiled code fits any engine of this function, whatever `instances` is.
pub fn engine(instances: u32) -> Result<Engine, EngineError> {
    build(instances).map_err(EngineError::Settings)
}

/// An engine with room for `wanted` plugins, or for fewer where so much address space is not to be had (`ulimit -v`,
/// valgrind), but no fewer than `least`. With how many it has become.
pub fn engine_within(least: u32, wanted: u32) -> Result<(Engine, u32), EngineError> {
    let refused = match build(wanted) {
        Ok(engine) => return Ok((engine, wanted)),
        Err(error) => error,
    };
    let mut fewer = wanted;
    while fewer > least {
        fewer = (fewer - fewer.div_ceil(4)).max(least);
        if let Ok(engine) = build(fewer) {
            return Ok((engine, fewer));
        }
    }
    Err(EngineError::Settings(refused))
}

fn build(instances: u32) -> wasmtime::Result<Engine> {
    let mut config = Config::new();

    // Naming the target turns off the detection of this machine's CPU: what is
    // compiled here runs on any machine of the architecture.
    config.target(&target_lexicon::Triple::host().to_string())?;
    config.cranelift_opt_level(OptLevel::Speed);

    // Synchronous calls only. The default, which lets components run async
    // functions, more than doubles the cost of every call.
    config.concurrency_support(false);

    // A call that takes too long is stopped at the next tick of a thread.
    config.epoch_interruption(true);

    // A new instance is a slot of the pool with the plugin's memory mapped
    // copy-on-write: microseconds, so that a fresh one after a trap, or for a
    // swap, costs nothing that a client would notice.
    config.memory_init_cow(true);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));

    // Function names in backtraces, but no files and lines: plugins are built
    // without debug information.
    config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);

    Engine::new(&config)
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let core_instances = instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances);
    pool.total_core_instances(core_instances);
    pool.total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT));
    pool.total_tables(instances.saturating_mul(TABLES_PER_COMPONENT));
    // Interpreters compiled to Wasm (JavaScript, Python) have large ones.
    pool.table_elements(50_000);
    pool
}

/// Compiles a component to machine code, for [`wasmtime::component::Component::deserialize`].
pub fn precompile(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, EngineError> {
    engine.precompile_component(component).map_err(EngineError::Compile)
}

/// Identifies what compiled code depends on besides the plugin: wasmtime's
/// version, its settings, the target. Code compiled under another fingerprint
/// is not for this engine.
pub fn fingerprint(engine: &Engine) -> String {
    use std::hash::Hash;
    let mut hasher = Digesting::default();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{WASMTIME_VERSION}-{}", short_hex(&hasher.digest()))
}

fn short_hex(digest: &[u8]) -> String {
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The standard library's hashers give other values in other versions of Rust;
/// this one does not.
#[derive(Default)]
struct Digesting(sha2::Sha256);

impl Digesting {
    fn digest(self) -> [u8; 32] {
        sha2::Digest::finalize(self.0).into()
    }
}

impl std::hash::Hasher for Digesting {
    fn write(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    fn finish(&self) -> u64 {
        // `Hash` only writes; the digest is what is read.
        0
    }
}

#[cfg(test)]
mod tests;
