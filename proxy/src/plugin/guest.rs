//! The proxy, seen from inside an instance: what a plugin may ask, and the
//! limits it lives in.

use std::borrow::Cow;
use std::ptr::NonNull;
use std::sync::Arc;

use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut};

use super::contract::{FunctionFact, Level, RelationFact, VERSION, Verdict};
use super::facts::{FactKey, FactSource};
use super::generation::Plugin;
use super::setting::Setting;

/// Longer log lines of a plugin are cut.
const MAX_LOG_BYTES: usize = 8 * 1024;

/// Far more than the tables of functions that compilers make.
const MAX_TABLE_ELEMENTS: usize = 50_000;

/// What an instance's store holds besides the instance.
pub(super) struct Guest {
    pub plugin: Arc<Plugin>,
    pub memory: Memory,
    /// Lent for one call; see [`lend_facts`].
    facts: Option<NonNull<dyn FactSource>>,
    /// Lent for one call; see [`lend_setting`].
    setting: Option<NonNull<Setting<'static>>>,
    /// What was asked in this call and not known.
    pub missing: Vec<FactKey>,
    /// The last error that the plugin logged in this call: a panic's message.
    pub last_words: Option<String>,
}

impl Guest {
    pub fn new(plugin: Arc<Plugin>) -> Self {
        let memory = Memory { limit: plugin.memory_limit, used: 0, refused: false };
        Guest { plugin, memory, facts: None, setting: None, missing: Vec::new(), last_words: None }
    }

    fn facts(&self) -> Option<&dyn FactSource> {
        // SAFETY: the pointer was made from a reference by `lend_facts`, which
        // takes it away again before that reference's life ends.
        self.facts.map(|facts| unsafe { facts.as_ref() })
    }

    fn setting(&self) -> Option<Setting<'_>> {
        // SAFETY: as for `facts`; the lifetime shrinks to that of this borrow.
        self.setting.map(|setting| unsafe { *setting.as_ref() })
    }

    fn note_missing(&mut self, key: FactKey) {
        if !self.missing.contains(&key) {
            self.missing.push(key);
        }
    }
}

// === Facts, lent for one call ===

/// Runs `call` with these facts within the plugin's reach.
///
/// A store's data cannot borrow, so the reference goes in as a pointer and is
/// taken out when `call` is over, in whichever way it ends.
pub(super) fn lend_facts<R>(
    store: &mut Store<Guest>,
    facts: &dyn FactSource,
    call: impl FnOnce(&mut Store<Guest>) -> R,
) -> R {
    struct Lent<'s>(&'s mut Store<Guest>);
    impl Drop for Lent<'_> {
        fn drop(&mut self) {
            self.0.data_mut().facts = None;
        }
    }

    let pointer: NonNull<dyn FactSource + '_> = NonNull::from(facts);
    // SAFETY: only the lifetime changes, and `Lent` removes the pointer while
    // `facts` is still borrowed.
    let pointer: NonNull<dyn FactSource> = unsafe { std::mem::transmute(pointer) };
    store.data_mut().facts = Some(pointer);
    call(Lent(store).0)
}

/// Runs `call` with this setting within the plugin's reach, as [`lend_facts`]
/// does with facts.
#[inline]
pub(super) fn lend_setting<R>(
    store: &mut Store<Guest>,
    setting: &Setting<'_>,
    call: impl FnOnce(&mut Store<Guest>) -> R,
) -> R {
    struct Lent<'s>(&'s mut Store<Guest>);
    impl Drop for Lent<'_> {
        fn drop(&mut self) {
            self.0.data_mut().setting = None;
        }
    }

    let pointer: NonNull<Setting<'_>> = NonNull::from(setting);
    // Only the lifetime changes; `Lent` removes the pointer while `setting` is
    // still borrowed, and `Guest::setting` gives it its borrow back.
    store.data_mut().setting = Some(pointer.cast());
    call(Lent(store).0)
}

// === Limits ===

/// The memory that an instance has taken.
pub(super) struct Memory {
    limit: usize,
    pub used: usize,
    /// It was refused more since this was last cleared.
    pub refused: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used + desired.saturating_sub(current);
        if used > self.limit {
            // The plugin is told that there is no more, as memory.grow has it;
            // most then trap.
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

// === The interface waypool:plugin/host ===

/// What every plugin may import, and all that it may.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    let mut host = linker.instance(&format!("waypool:plugin/host@{VERSION}"))?;
    host.func_wrap("log", |store: StoreContextMut<'_, Guest>, (level, message): (Level, String)| {
        log(store, level, message);
        Ok(())
    })?;
    host.func_wrap("count", |store: StoreContextMut<'_, Guest>, (name, delta): (String, u64)| {
        store.data().plugin.counters.add_own(name, delta);
        Ok(())
    })?;
    host.func_wrap("find-function", |store: StoreContextMut<'_, Guest>, name| {
        Ok((find_function(store, name)?,))
    })?;
    host.func_wrap("find-operator", |store: StoreContextMut<'_, Guest>, (name,): (WasmStr,)| {
        Ok((find_operator(store, name)?,))
    })?;
    host.func_wrap("find-relation", |store: StoreContextMut<'_, Guest>, name| {
        Ok((find_relation(store, name)?,))
    })?;
    link_session(&mut linker)?;
    link_store(&mut linker)?;
    Ok(linker)
}

/// The interface waypool:plugin/session.
fn link_session(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Caller<'c> = StoreContextMut<'c, Guest>;
    let mut session = linker.instance(&format!("waypool:plugin/session@{VERSION}"))?;
    session.func_wrap("database", |store: Caller<'_>, ()| {
        Ok((store.data().setting().map_or_else(String::new, |setting| setting.database.to_owned()),))
    })?;
    session.func_wrap("reads", |store: Caller<'_>, ()| {
        Ok((of_verdict(store.data(), |verdict| verdict.reads.clone()),))
    })?;
    session.func_wrap("writes", |store: Caller<'_>, ()| {
        Ok((of_verdict(store.data(), |verdict| verdict.writes.clone()),))
    })?;
    session.func_wrap("functions", |store: Caller<'_>, ()| {
        Ok((of_verdict(store.data(), |verdict| verdict.functions.clone()),))
    })?;
    session.func_wrap("remember", |store: Caller<'_>, (word,): (String,)| {
        if let Some(setting) = store.data().setting() {
            setting.words.add(word);
        }
        Ok(())
    })?;
    session.func_wrap("remembered", |store: Caller<'_>, ()| {
        Ok((store.data().setting().map(|setting| setting.words.all()).unwrap_or_default(),))
    })
}

fn of_verdict(guest: &Guest, list: impl Fn(&Verdict) -> Vec<String>) -> Vec<String> {
    guest.setting().and_then(|setting| setting.verdict).map(list).unwrap_or_default()
}

/// The interface waypool:plugin/store.
fn link_store(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut values = linker.instance(&format!("waypool:plugin/store@{VERSION}"))?;
    values.func_wrap("get", |store: StoreContextMut<'_, Guest>, (key,): (String,)| {
        Ok((store.data().plugin.counters.store.get(&key),))
    })?;
    values.func_wrap(
        "set",
        |store: StoreContextMut<'_, Guest>, (key, value, millis): (String, u64, Option<u64>)| {
            Ok((store.data().plugin.counters.store.set(key, value, millis),))
        },
    )
}

/// Schema and name, as they lie in the guest's memory.
type Name = (Option<WasmStr>, WasmStr);

/// Nothing is copied out of the guest, unless a fact is not known.
fn find_function(
    mut store: StoreContextMut<'_, Guest>,
    (schema, name): Name,
) -> wasmtime::Result<FunctionFact> {
    let (schema, name) = named(&store, schema.as_ref(), &name)?;
    let facts = store.data().facts();
    let fact = facts.map_or(FunctionFact::Unknown, |facts| facts.function_fact(schema.as_deref(), &name));
    if fact == FunctionFact::Unknown {
        let key = FactKey::Function { schema: schema.map(Cow::into_owned), name: name.into_owned() };
        store.data_mut().note_missing(key);
    }
    Ok(fact)
}

fn find_operator(mut store: StoreContextMut<'_, Guest>, name: WasmStr) -> wasmtime::Result<FunctionFact> {
    let name = name.to_str(&store)?;
    let facts = store.data().facts();
    let fact = facts.map_or(FunctionFact::Unknown, |facts| facts.operator_fact(&name));
    if fact == FunctionFact::Unknown {
        let key = FactKey::Operator { name: name.into_owned() };
        store.data_mut().note_missing(key);
    }
    Ok(fact)
}

fn find_relation(
    mut store: StoreContextMut<'_, Guest>,
    (schema, name): Name,
) -> wasmtime::Result<RelationFact> {
    let (schema, name) = named(&store, schema.as_ref(), &name)?;
    let facts = store.data().facts();
    let fact = facts.map_or(RelationFact::Unknown, |facts| facts.relation_fact(schema.as_deref(), &name));
    if fact == RelationFact::Unknown {
        let key = FactKey::Relation { schema: schema.map(Cow::into_owned), name: name.into_owned() };
        store.data_mut().note_missing(key);
    }
    Ok(fact)
}

fn named<'s>(
    store: &'s StoreContextMut<'_, Guest>,
    schema: Option<&WasmStr>,
    name: &WasmStr,
) -> wasmtime::Result<(Option<Cow<'s, str>>, Cow<'s, str>)> {
    let schema = schema.map(|schema| schema.to_str(store)).transpose()?;
    Ok((schema, name.to_str(store)?))
}

fn log(mut store: StoreContextMut<'_, Guest>, level: Level, mut message: String) {
    message.truncate(message.floor_char_boundary(MAX_LOG_BYTES));
    let guest = store.data_mut();
    let plugin = &guest.plugin.name;
    match level {
        Level::Error => tracing::error!(target: "waypool::plugin", %plugin, "{message}"),
        Level::Warn => tracing::warn!(target: "waypool::plugin", %plugin, "{message}"),
        Level::Info => tracing::info!(target: "waypool::plugin", %plugin, "{message}"),
        Level::Debug => tracing::debug!(target: "waypool::plugin", %plugin, "{message}"),
        Level::Trace => tracing::trace!(target: "waypool::plugin", %plugin, "{message}"),
    }
    if level == Level::Error {
        guest.last_words = Some(message);
    }
}
