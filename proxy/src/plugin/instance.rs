//! One instance of a plugin: its memory, its state, the calls into it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Store, Trap, WasmBacktrace};

use super::error::{CallError, Fault};
use super::exports::{self, Exports};
use super::facts::FactSource;
use super::generation::Plugin;
use super::guest::{self, Guest};
use super::setting::Setting;
use super::ticker;

/// `init` and the probe are not in the way of a statement that is waiting, or
/// rarely, and may build tables.
const START_DEADLINE: Duration = Duration::from_secs(1);

/// A plugin's instance, initialised and ready.
pub(super) struct Instance<X> {
    store: Store<Guest>,
    exports: X,
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

impl<X: Exports> Instance<X> {
    pub fn start(plugin: &Arc<Plugin>) -> Result<Self, StartError> {
        let mut store = Store::new(plugin.code.engine(), Guest::new(Arc::clone(plugin)));
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(ticker::ticks(START_DEADLINE));

        let instance = plugin
            .code
            .instantiate(&mut store)
            .map_err(|error| StartError::Failed(describe(&error, store.data())))?;
        let exports =
            X::bind(&mut store, &instance).map_err(|error| StartError::Contract(format!("{error:#}")))?;
        let init = exports::bind_init(&mut store, &instance)
            .map_err(|error| StartError::Contract(format!("{error:#}")))?;
        exports::init(&mut store, init, &plugin.config_json)
            .map_err(|error| StartError::Failed(describe(&error, store.data())))?
            .map_err(StartError::Refused)?;

        // What `init` needed is needed again by the next instance.
        let used = store.data().memory.used;
        let soft_limit = (plugin.memory_limit / 4 * 3).max(used);
        Ok(Instance { store, exports, soft_limit })
    }

    /// Tries each export once, before the plugin is published.
    pub fn probe(&mut self) -> Result<(), CallError> {
        self.store.set_epoch_deadline(ticker::ticks(START_DEADLINE));
        self.exports.probe(&mut self.store).map_err(|error| describe(&error, self.store.data()))
    }

    /// One call. After an error the instance must not be used again.
    ///
    /// Called for every statement: nothing here allocates or asks the time.
    #[inline]
    pub fn call<R>(
        &mut self,
        call: impl FnOnce(&X, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let guest = self.store.data_mut();
        guest.memory.refused = false;
        let ticks = guest.plugin.deadline_ticks;
        self.store.set_epoch_deadline(ticks);
        call(&self.exports, &mut self.store).map_err(|error| describe(&error, self.store.data()))
    }

    /// Like [`Instance::call`], with facts that the plugin may ask for.
    pub fn call_with_facts<R>(
        &mut self,
        facts: &dyn FactSource,
        call: impl FnOnce(&X, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let guest = self.store.data_mut();
        guest.missing.clear();
        guest.last_words = None;
        self.call(|exports, store| guest::lend_facts(store, facts, |store| call(exports, store)))
    }

    /// Like [`Instance::call`], about a session.
    #[inline]
    pub fn call_with_setting<R>(
        &mut self,
        setting: &Setting<'_>,
        call: impl FnOnce(&X, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        self.call(|exports, store| guest::lend_setting(store, setting, |store| call(exports, store)))
    }

    /// What the last call asked for and the facts did not have.
    pub fn take_missing(&mut self) -> Vec<super::FactKey> {
        std::mem::take(&mut self.store.data_mut().missing)
    }

    /// It keeps more and more, and had better be replaced before a call fails.
    #[inline]
    pub fn is_bloated(&self) -> bool {
        self.store.data().memory.used > self.soft_limit
    }
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
            role: plugin.role,
            fault: Fault::Start,
            message,
            backtrace: String::new(),
            on_error: plugin.on_error,
        }
    }
}

/// Tells from wasmtime's error, and from what the instance did, what happened.
#[cold]
fn describe(error: &wasmtime::Error, guest: &Guest) -> CallError {
    let plugin = &guest.plugin;
    let trap = error.downcast_ref::<Trap>();
    let (fault, what) = match trap {
        _ if guest.memory.refused => {
            (Fault::Memory, format!("it needs more than its {} bytes", plugin.memory_limit))
        }
        Some(Trap::Interrupt) => (Fault::Deadline, format!("it took longer than {:?}", plugin.deadline)),
        Some(trap) => (Fault::Trap, trap.to_string()),
        None => (Fault::Malformed, error.root_cause().to_string()),
    };
    let message = match &guest.last_words {
        Some(words) => format!("{what}; its last words: {words}"),
        None => what,
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string);
    CallError {
        plugin: Arc::clone(&plugin.name),
        role: plugin.role,
        fault,
        message,
        backtrace: backtrace.unwrap_or_default(),
        on_error: plugin.on_error,
    }
}
