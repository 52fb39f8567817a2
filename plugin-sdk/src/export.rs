//! From a Rust type to a WebAssembly plugin.

use std::cell::RefCell;

use crate::bindings::shared::waypool::plugin::types;
use crate::{Error, Host, Plugin, Refusal, Routing};

/// The one plugin value of a WebAssembly instance, made by `init`.
#[derive(Debug)]
pub struct Instance<P>(RefCell<Option<P>>);

impl<P> Instance<P> {
    pub const fn new() -> Self {
        Instance(RefCell::new(None))
    }

    /// Runs one hook of the plugin.
    #[inline]
    pub fn with<R>(&self, call: impl FnOnce(&mut P, &Host) -> R) -> R {
        match self.0.borrow_mut().as_mut() {
            Some(plugin) => call(plugin, &Host::around()),
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
            Host::around().log(crate::Level::Error, &panic.to_string());
        }));
        let plugin = P::new(crate::config::decode(config)?)?;
        *self.0.borrow_mut() = Some(plugin);
        Ok(())
    }
}

thread_local! {
    /// What the last `route` had to say besides its answer.
    static WHY_NOT: RefCell<Option<Refusal>> = const { RefCell::new(None) };
}

/// A balancer's answer in the contract's form, which has no text.
#[inline]
pub fn routing(answer: Result<Routing, Error>) -> types::Routing {
    let why_not = match answer {
        Ok(Routing::To(decision)) => return types::Routing::To(decision),
        Ok(Routing::Pass) => return types::Routing::Pass,
        Ok(Routing::Watch) => return types::Routing::Watch,
        Ok(Routing::Wait(millis)) => return types::Routing::Wait(millis),
        Ok(Routing::Refuse(refusal)) => Ok(refusal),
        Err(error) => Err(Refusal { sqlstate: String::new(), message: error.into(), hint: None }),
    };
    let (answer, refusal) = match why_not {
        Ok(refusal) => (types::Routing::Refuse, refusal),
        Err(refusal) => (types::Routing::Fail, refusal),
    };
    WHY_NOT.set(Some(refusal));
    answer
}

/// `balancer.why-not`
pub fn why_not() -> Refusal {
    let nothing = || Refusal { sqlstate: String::new(), message: String::new(), hint: None };
    WHY_NOT.take().unwrap_or_else(nothing)
}

impl<P> Default for Instance<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a type the plugin that this crate is.
///
/// `export!(Type: role)`, where a role is `classifier`, `rewriter`, `balancer`,
/// `gate` or `observer`; several are separated by commas. The type implements
/// [`Plugin`](crate::Plugin) and the trait of each role; all roles share one
/// value of it. Use it once in a crate. Natively it only checks the types.
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

            impl $crate::__private::lifecycle::Guest for WaypoolGuest {
                fn init(config: ::std::string::String) -> $crate::Result<(), ::std::string::String> {
                    PLUGIN.with(|instance| instance.init(&config))
                }

                fn describe() -> $crate::__private::lifecycle::Description {
                    $crate::__private::describe::<$plugin>()
                }

                fn self_test() -> $crate::Result<(), ::std::string::String> {
                    PLUGIN.with(|instance| instance.with(|plugin, host| {
                        $crate::Plugin::self_test(plugin, host).map_err(::std::convert::Into::into)
                    }))
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::__private::bindings::lifecycle::export!(
                WaypoolGuest with_types_in $crate::__private::bindings::lifecycle
            );

            $( $crate::__export_role!(WaypoolGuest, PLUGIN, $role); )+
        };
    };
    ($plugin:ty $(:)?) => {
        ::core::compile_error!("a plugin has at least one role: `export!(Type: classifier)`");
    };
}

/// One role of [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_role {
    ($guest:ident, $plugin:ident, classifier) => {
        impl $crate::__private::classifier::Guest for $guest {
            fn classify(
                text: ::std::string::String,
                facts: u64,
            ) -> $crate::Result<$crate::Opinion, ::std::string::String> {
                $crate::__private::facts_are_of(facts);
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::Classifier::classify(plugin, &text, host).map_err(::std::convert::Into::into)
                }))
            }

            fn refine(
                text: ::std::string::String,
                verdict: $crate::Verdict,
                facts: u64,
            ) -> $crate::Result<$crate::Verdict, ::std::string::String> {
                $crate::__private::facts_are_of(facts);
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::Classifier::refine(plugin, &text, verdict, host)
                        .map_err(::std::convert::Into::into)
                }))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::classifier::export!(
            $guest with_types_in $crate::__private::bindings::classifier
        );
    };
    ($guest:ident, $plugin:ident, rewriter) => {
        impl $crate::__private::rewriter::Guest for $guest {
            fn rewrite(
                text: ::std::string::String,
                facts: u64,
            ) -> $crate::Result<$crate::Plan, ::std::string::String> {
                $crate::__private::facts_are_of(facts);
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::Rewriter::rewrite(plugin, &text, host).map_err(::std::convert::Into::into)
                }))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::rewriter::export!(
            $guest with_types_in $crate::__private::bindings::rewriter
        );
    };
    ($guest:ident, $plugin:ident, balancer) => {
        impl $crate::__private::balancer::Guest for $guest {
            fn topology(nodes: ::std::vec::Vec<$crate::Node>) {
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::Balancer::topology(plugin, &nodes, host)
                }))
            }

            fn plan_session(
                session: $crate::SessionInfo,
                random: u64,
            ) -> ::std::option::Option<$crate::SessionPlan> {
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::Balancer::plan_session(plugin, &session, random, host)
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
                waited_millis: u32,
                random: u64,
            ) -> $crate::__private::Routing {
                let statement = $crate::Statement { kind, servers, effects };
                let state = $crate::SessionState {
                    transaction, transaction_memory, session_memory, home, waited_millis, random,
                };
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::__private::routing($crate::Balancer::route(plugin, statement, state, host))
                }))
            }

            fn why_not() -> $crate::Refusal {
                $crate::__private::why_not()
            }

            fn ended(success: bool) {
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::Balancer::ended(plugin, success, host)
                }))
            }

            fn explain() -> ::std::string::String {
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::Balancer::explain(plugin, host)
                }))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::balancer::export!(
            $guest with_types_in $crate::__private::bindings::balancer
        );
    };
    ($guest:ident, $plugin:ident, gate) => {
        impl $crate::__private::gate::Guest for $guest {
            fn session_start(
                newcomer: $crate::Newcomer,
            ) -> $crate::Result<$crate::Admission, ::std::string::String> {
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::Gate::session_start(plugin, &newcomer, host)
                        .map_err(::std::convert::Into::into)
                }))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::gate::export!(
            $guest with_types_in $crate::__private::bindings::gate
        );
    };
    ($guest:ident, $plugin:ident, observer) => {
        impl $crate::__private::observer::Guest for $guest {
            fn observe(statements: ::std::vec::Vec<$crate::Observation>) {
                $plugin.with(|instance| instance.with(|plugin, host| {
                    $crate::Observer::observe(plugin, &statements, host)
                }))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::observer::export!(
            $guest with_types_in $crate::__private::bindings::observer
        );
    };
    ($guest:ident, $plugin:ident, $other:ident) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($other),
            "` is no role: there are classifier, rewriter, balancer, gate and observer"
        ));
    };
}
