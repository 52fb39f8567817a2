//! From a Rust type to a WebAssembly plugin.

use std::cell::RefCell;

use crate::bindings::shared::waypool::plugin::{host, session, store};
use crate::{BalancerHost, FunctionFact, Host, Level, Plugin, RelationFact};

/// The proxy, seen from inside WebAssembly.
///
/// Natively there is no proxy to call: tests use
/// [`testing::FakeHost`](crate::testing::FakeHost).
#[derive(Clone, Copy, Debug)]
pub struct ProxyHost;

impl Host for ProxyHost {
    fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        host::find_function(schema, name)
    }

    fn operator_fact(&self, name: &str) -> FunctionFact {
        host::find_operator(name)
    }

    fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        host::find_relation(schema, name)
    }

    fn log(&self, level: Level, message: &str) {
        host::log(level, message);
    }

    fn count(&self, name: &str, delta: u64) {
        host::count(name, delta);
    }
}

impl BalancerHost for ProxyHost {
    fn database(&self) -> String {
        session::database()
    }

    fn reads(&self) -> Vec<String> {
        session::reads()
    }

    fn writes(&self) -> Vec<String> {
        session::writes()
    }

    fn functions(&self) -> Vec<String> {
        session::functions()
    }

    fn remember(&self, word: &str) {
        session::remember(word);
    }

    fn remembered(&self) -> Vec<String> {
        session::remembered()
    }

    fn get(&self, key: &str) -> Option<u64> {
        store::get(key)
    }

    fn set(&self, key: &str, value: u64, millis: Option<u64>) -> bool {
        store::set(key, value, millis)
    }

    fn log(&self, level: Level, message: &str) {
        host::log(level, message);
    }

    fn count(&self, name: &str, delta: u64) {
        host::count(name, delta);
    }
}

/// The one plugin value of a WebAssembly instance, made by `init`.
pub struct Instance<P>(RefCell<Option<P>>);

impl<P> Instance<P> {
    pub const fn new() -> Self {
        Instance(RefCell::new(None))
    }

    /// Runs one role's function on the plugin.
    pub fn with<R>(&self, call: impl FnOnce(&mut P) -> R) -> R {
        match self.0.borrow_mut().as_mut() {
            Some(plugin) => call(plugin),
            // The proxy calls init first; a host that does not is told so by
            // the trap's message.
            None => panic!("lifecycle.init has to be called first, and to succeed"),
        }
    }
}

impl<P: Plugin> Instance<P> {
    /// `lifecycle.init`
    pub fn init(&self, config: &str) -> Result<(), String> {
        // A panic becomes a trap, which has a backtrace but no message: the
        // message takes the log.
        #[cfg(target_family = "wasm")]
        std::panic::set_hook(Box::new(|panic| {
            host::log(Level::Error, &panic.to_string());
        }));
        let plugin = P::new(crate::config::decode(config)?)?;
        *self.0.borrow_mut() = Some(plugin);
        Ok(())
    }
}

impl<P> Default for Instance<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a type the plugin that this crate is.
///
/// `export!(Type: role)`, where a role is `classifier`, `balancer` or
/// `rewriter`; several are separated by commas. The type implements
/// [`Plugin`](crate::Plugin) and the trait of each role. Use it once in a
/// crate. Natively it only checks the types.
#[macro_export]
macro_rules! export {
    ($plugin:ty : $($role:ident),+ $(,)?) => {
        const _: () = {
            #[allow(dead_code)]
            struct WaypoolGuest;

            ::std::thread_local! {
                // An instance has one thread, so this is a plain static there.
                static PLUGIN: $crate::__private::Instance<$plugin> =
                    const { $crate::__private::Instance::new() };
            }

            impl $crate::__private::bindings::lifecycle::exports::waypool::plugin::lifecycle::Guest
                for WaypoolGuest
            {
                fn init(config: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                    PLUGIN.with(|plugin| plugin.init(&config))
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::__private::bindings::lifecycle::export!(
                WaypoolGuest with_types_in $crate::__private::bindings::lifecycle
            );

            $( $crate::__export_role!(WaypoolGuest, PLUGIN, $role); )+
        };
    };
}

/// One role of [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_role {
    ($guest:ident, $plugin:ident, classifier) => {
        impl $crate::__private::bindings::classifier::exports::waypool::plugin::classifier::Guest
            for $guest
        {
            fn classify(text: ::std::string::String, database: ::std::string::String) -> $crate::Verdict {
                $plugin.with(|instance| instance.with(|plugin| {
                    $crate::Classifier::classify(plugin, &text, &database, &$crate::__private::ProxyHost)
                }))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::classifier::export!(
            $guest with_types_in $crate::__private::bindings::classifier
        );
    };
    ($guest:ident, $plugin:ident, balancer) => {
        impl $crate::__private::bindings::balancer::exports::waypool::plugin::balancer::Guest
            for $guest
        {
            fn topology(nodes: ::std::vec::Vec<$crate::Node>) {
                $plugin.with(|instance| instance.with(|plugin| {
                    $crate::Balancer::topology(plugin, &nodes)
                }))
            }

            fn session_start(session: $crate::SessionInfo, random: u64) -> $crate::SessionPlan {
                $plugin.with(|instance| instance.with(|plugin| {
                    $crate::Balancer::session_start(plugin, &session, random, &$crate::__private::ProxyHost)
                }))
            }

            fn route(
                kind: $crate::Kind,
                servers: $crate::Servers,
                effects: $crate::Effects,
                transaction: $crate::Transaction,
                transaction_memory: u32,
                session_memory: u32,
                home: u32,
                random: u64,
            ) -> $crate::Decision {
                let statement = $crate::Statement { kind, servers, effects };
                let state = $crate::SessionState {
                    transaction, transaction_memory, session_memory, home, random,
                };
                $plugin.with(|instance| instance.with(|plugin| {
                    $crate::Balancer::route(plugin, statement, state, &$crate::__private::ProxyHost)
                }))
            }

            fn ended(success: bool) {
                $plugin.with(|instance| instance.with(|plugin| {
                    $crate::Balancer::ended(plugin, success, &$crate::__private::ProxyHost)
                }))
            }

            fn explain() -> ::std::string::String {
                $plugin.with(|instance| instance.with(|plugin| $crate::Balancer::explain(plugin)))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::balancer::export!(
            $guest with_types_in $crate::__private::bindings::balancer
        );
    };
    ($guest:ident, $plugin:ident, rewriter) => {
        impl $crate::__private::bindings::rewriter::exports::waypool::plugin::rewriter::Guest
            for $guest
        {
            fn rewrite(text: ::std::string::String, database: ::std::string::String) -> $crate::Plan {
                $plugin.with(|instance| instance.with(|plugin| {
                    $crate::Rewriter::rewrite(plugin, &text, &database, &$crate::__private::ProxyHost)
                }))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::rewriter::export!(
            $guest with_types_in $crate::__private::bindings::rewriter
        );
    };
}
