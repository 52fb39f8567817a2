//! One instance of a plugin: its memory, its state, the calls into it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Store, Trap, WasmBacktrace};

use super::about::About;
use super::contract::Description;
use super::error::{CallError, Fault};
use super::exports::{Exports, Said};
use super::generation::Plugin;
use super::guest::{self, Guest};
use super::ticker;

/// `init` and the probe are not in the way of a statement that is waiting, or
/// rarely, and may build tables.
const START_DEADLINE: Duration = Duration::from_secs(1);

/// A plugin's instance, initialised and ready.
pub(super) struct Instance {
    store: Store<Guest>,
    exports: Exports,
    /// Recycled when it has more memory than this.
    soft_limit: usize,
}

/// Why there is no instance.
pub(super) enum StartError {
    /// It cannot be linked, or its functions have other types.
    Contract(String),
    /// `init` said no, for this reason.
    Refused(String),
    Failed(CallError),
}

/// What an instance was asked for in a call, and how that went.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Facts that were not known.
    pub missing: Vec<super::FactKey>,
    /// The answer holds for this moment only.
    pub time: bool,
}

impl Instance {
    pub fn start(plugin: &Arc<Plugin>) -> Result<Self, StartError> {
        let mut store = new_store(plugin);
        let instance = plugin
            .code
            .instantiate(&mut store)
            .map_err(|error| StartError::Failed(describe(&error, store.data())))?;
        let exports = Exports::bind(&mut store, &instance, plugin.roles)
            .map_err(|error| StartError::Contract(format!("{error:#}")))?;
        exports
            .init(&mut store, &plugin.config_json)
            .map_err(|error| StartError::Failed(describe(&error, store.data())))?
            .map_err(StartError::Refused)?;

        // What `init` needed is needed again by the next instance.
        let used = store.data().memory.used;
        let soft_limit = (plugin.source.entry.memory_limit / 4 * 3).max(used);
        Ok(Instance { store, exports, soft_limit })
    }

    /// What a plugin says of itself, without `init`.
    pub fn description(plugin: &Arc<Plugin>) -> Result<Description, StartError> {
        let mut store = new_store(plugin);
        let instance = plugin
            .code
            .instantiate(&mut store)
            .map_err(|error| StartError::Failed(describe(&error, store.data())))?;
        let exports = Exports::bind(&mut store, &instance, plugin.roles)
            .map_err(|error| StartError::Contract(format!("{error:#}")))?;
        exports.describe(&mut store).map_err(|error| StartError::Failed(describe(&error, store.data())))
    }

    /// Tries each export once, before the plugin is published. The inner error
    /// is what its self-test says.
    pub fn probe(&mut self) -> Result<Result<(), String>, CallError> {
        self.store.set_epoch_deadline(ticker::ticks(START_DEADLINE));
        let probed =
            self.exports.probe(&mut self.store).and_then(|()| self.exports.self_test(&mut self.store));
        probed.map_err(|error| describe(&error, self.store.data()))
    }

    /// One call. After an error other than [`Fault::Error`] the instance must
    /// not be used again.
    ///
    /// Called for every statement: nothing here allocates or asks the time.
    #[inline]
    pub fn call<R>(
        &mut self,
        about: &About<'_>,
        call: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let guest = self.store.data_mut();
        guest.begin_call();
        let ticks = guest.plugin.deadline_ticks;
        self.store.set_epoch_deadline(ticks);
        let exports = &self.exports;
        guest::lend(&mut self.store, about, |store| call(exports, store))
            .map_err(|error| describe(&error, self.store.data()))
    }

    /// Like [`Instance::call`], and what was asked for in it.
    pub fn ask<R>(
        &mut self,
        about: &About<'_>,
        call: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<(R, Asked), CallError> {
        let answer = self.call(about, call)?;
        let guest = self.store.data_mut();
        Ok((answer, Asked { missing: std::mem::take(&mut guest.missing), time: guest.asked_time }))
    }

    /// The plugin asked for anything in the last call.
    #[inline]
    pub fn asked(&self) -> bool {
        self.store.data().asked.get()
    }

    /// It keeps more and more, and had better be replaced before a call fails.
    #[inline]
    pub fn is_bloated(&self) -> bool {
        self.store.data().memory.used > self.soft_limit
    }

    /// Bytes of its memory.
    pub fn memory(&self) -> usize {
        self.store.data().memory.used
    }
}

fn new_store(plugin: &Arc<Plugin>) -> Store<Guest> {
    let mut store = Store::new(plugin.code.engine(), Guest::new(Arc::clone(plugin)));
    store.limiter(|guest| &mut guest.memory);
    store.set_epoch_deadline(ticker::ticks(START_DEADLINE));
    store
}

impl StartError {
    /// The same as a call's failure, for whoever wanted to call.
    pub fn into_call_error(self, plugin: &Plugin) -> CallError {
        let message = match self {
            StartError::Contract(detail) => detail,
            StartError::Refused(message) => format!("it refuses its configuration: {message}"),
            StartError::Failed(error) => {
                return CallError { fault: Fault::Start, ..error };
            }
        };
        CallError {
            plugin: Arc::clone(&plugin.name),
            fault: Fault::Start,
            message,
            backtrace: String::new(),
            on_error: plugin.source.entry.on_error,
        }
    }
}

/// Tells from wasmtime's error, and from what the instance did, what happened.
#[cold]
fn describe(error: &wasmtime::Error, guest: &Guest) -> CallError {
    let plugin = &guest.plugin;
    let entry = &plugin.source.entry;
    let trap = error.downcast_ref::<Trap>();
    let (fault, what) = match trap {
        _ if error.is::<Said>() => (Fault::Error, error.to_string()),
        _ if guest.memory.refused => {
            (Fault::Memory, format!("it needs more than its {} bytes", entry.memory_limit))
        }
        Some(Trap::Interrupt) => (Fault::Deadline, format!("it took longer than {:?}", entry.deadline)),
        Some(trap) => (Fault::Trap, trap.to_string()),
        None => (Fault::Malformed, error.root_cause().to_string()),
    };
    let message = match &guest.last_words {
        Some(words) if fault != Fault::Error => format!("{what}; its last words: {words}"),
        _ => what,
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
    CallError {
        plugin: Arc::clone(&plugin.name),
        fault,
        message,
        backtrace: backtrace.unwrap_or_default(),
        on_error: entry.on_error,
    }
}
