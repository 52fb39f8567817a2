//! The proxy, seen from inside an instance: what a plugin may ask, and the
//! limits it lives in.

use std::borrow::Cow;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut};

use super::about::About;
use super::contract::{ColumnsFact, FunctionFact, Level, RelationFact, SessionInfo, VERSION, Verdict};
use super::facts::{FactKey, FactSource};
use super::generation::Plugin;
use super::store::Store as Values;

/// Longer log lines of a plugin are cut.
const MAX_LOG_BYTES: usize = 8 * 1024;

/// A statement that needs more facts than this is asked about again and again,
/// until all are known.
const MAX_MISSING: usize = 1000;

/// Far more than the tables of functions that compilers make.
const MAX_TABLE_ELEMENTS: usize = 50_000;

/// What an instance's store holds besides the instance.
pub(super) struct Guest {
    pub plugin: Arc<Plugin>,
    pub memory: Memory,
    /// Lent for one call; see [`lend`].
    about: Option<NonNull<About<'static>>>,
    /// What was asked in this call and not known.
    pub missing: Vec<FactKey>,
    /// The time was asked in this call.
    pub asked_time: bool,
    /// Anything was asked in this call.
    pub asked: Cell<bool>,
    /// The last error that the plugin logged in this call: a panic's message.
    pub last_words: Option<String>,
}

impl Guest {
    pub fn new(plugin: Arc<Plugin>) -> Self {
        let memory = Memory { limit: plugin.source.entry.memory_limit, used: 0, refused: false };
        Guest {
            plugin,
            memory,
            about: None,
            missing: Vec::new(),
            asked_time: false,
            asked: Cell::new(false),
            last_words: None,
        }
    }

    /// What the plugin may know: it asks.
    fn about(&self) -> Option<About<'_>> {
        self.asked.set(true);
        // SAFETY: the pointer was made from a reference by `lend`, which takes
        // it away again before that reference's life ends. The lifetime
        // shrinks to that of this borrow.
        self.about.map(|about| unsafe { *about.as_ref() })
    }

    fn facts(&self) -> Option<&dyn FactSource> {
        self.about()?.facts
    }

    /// Nothing is left of the call before.
    #[inline]
    pub fn begin_call(&mut self) {
        self.memory.refused = false;
        self.missing.clear();
        self.asked_time = false;
        self.asked.set(false);
        self.last_words = None;
    }

    fn store(&self) -> &Values {
        self.asked.set(true);
        &self.plugin.counters.store
    }

    fn note_missing(&mut self, key: FactKey) {
        if self.missing.len() < MAX_MISSING && !self.missing.contains(&key) {
            self.missing.push(key);
        }
    }
}

/// Runs `call` with this within the plugin's reach.
///
/// A store's data cannot borrow, so the reference goes in as a pointer and is
/// taken out when `call` is over, in whichever way it ends.
#[inline]
pub(super) fn lend<R>(
    store: &mut Store<Guest>,
    about: &About<'_>,
    call: impl FnOnce(&mut Store<Guest>) -> R,
) -> R {
    struct Lent<'s>(&'s mut Store<Guest>);
    impl Drop for Lent<'_> {
        fn drop(&mut self) {
            self.0.data_mut().about = None;
        }
    }

    let pointer: NonNull<About<'_>> = NonNull::from(about);
    // Only the lifetime changes; `Lent` removes the pointer while `about` is
    // still borrowed, and `Guest::about` gives it its borrow back.
    store.data_mut().about = Some(pointer.cast());
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

// === What a plugin may import ===

type Caller<'c> = StoreContextMut<'c, Guest>;

/// What every plugin may import, and all that it may.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    link_host(&mut linker)?;
    link_session(&mut linker)?;
    link_statement(&mut linker)?;
    link_store(&mut linker)?;
    let mut clock = linker.instance(&format!("waypool:plugin/clock@{VERSION}"))?;
    clock.func_wrap("now", |mut store: Caller<'_>, ()| {
        store.data_mut().asked_time = true;
        if let Some(now) = store.data().about().and_then(|about| about.now) {
            return Ok((now,));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((u64::try_from(now.as_micros()).unwrap_or(u64::MAX),))
    })?;
    Ok(linker)
}

fn link_host(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut host = linker.instance(&format!("waypool:plugin/host@{VERSION}"))?;
    host.func_wrap("log", |store: Caller<'_>, (level, message): (Level, String)| {
        log(store, level, message);
        Ok(())
    })?;
    host.func_wrap("count", |store: Caller<'_>, (name, delta): (String, u64)| {
        store.data().plugin.counters.add_own(name, delta);
        Ok(())
    })?;
    host.func_wrap("gauge", |store: Caller<'_>, (name, value): (String, f64)| {
        store.data().plugin.counters.set_own(name, value);
        Ok(())
    })?;
    host.func_wrap("find-function", |store: Caller<'_>, name| Ok((find_function(store, name)?,)))?;
    host.func_wrap("find-operator", |store: Caller<'_>, (name,): (WasmStr,)| {
        Ok((find_operator(store, name)?,))
    })?;
    host.func_wrap("find-relation", |store: Caller<'_>, name| Ok((find_relation(store, name)?,)))?;
    host.func_wrap("find-columns", |store: Caller<'_>, name| Ok((find_columns(store, name)?,)))
}

fn link_session(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut session = linker.instance(&format!("waypool:plugin/session@{VERSION}"))?;
    session.func_wrap("database", |store: Caller<'_>, ()| {
        Ok((of_session(store.data(), |session| &session.database),))
    })?;
    session.func_wrap("user", |store: Caller<'_>, ()| {
        Ok((of_session(store.data(), |session| &session.user),))
    })?;
    session.func_wrap("application-name", |store: Caller<'_>, ()| {
        Ok((of_session(store.data(), |session| &session.application_name),))
    })
}

fn of_session(guest: &Guest, name: impl Fn(&SessionInfo) -> &String) -> String {
    guest.about().map(|about| name(about.session).clone()).unwrap_or_default()
}

fn link_statement(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut statement = linker.instance(&format!("waypool:plugin/statement@{VERSION}"))?;
    type List = fn(&Verdict) -> &Vec<String>;
    let lists: [(&str, List); 4] = [
        ("reads", |verdict| &verdict.reads),
        ("writes", |verdict| &verdict.writes),
        ("functions", |verdict| &verdict.functions),
        ("tags", |verdict| &verdict.tags),
    ];
    for (name, list) in lists {
        statement.func_wrap(name, move |store: Caller<'_>, ()| {
            let verdict = store.data().about().and_then(|about| about.verdict);
            Ok((verdict.map(list).cloned().unwrap_or_default(),))
        })?;
    }
    statement.func_wrap("remember", |store: Caller<'_>, (word,): (String,)| {
        if let Some(about) = store.data().about()
            && let Some(words) = about.words
        {
            words.add(about.balancer, word);
        }
        Ok(())
    })?;
    statement.func_wrap("remembered", |store: Caller<'_>, ()| {
        let about = store.data().about();
        let words = about.and_then(|about| Some(about.words?.of(about.balancer)));
        Ok((words.unwrap_or_default(),))
    })
}

fn link_store(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    type Millis = Option<u64>;
    let mut values = linker.instance(&format!("waypool:plugin/store@{VERSION}"))?;
    values.func_wrap("get", |store: Caller<'_>, (key,): (WasmStr,)| {
        let key = key.to_str(&store)?;
        Ok((store.data().store().get(&key),))
    })?;
    values.func_wrap("set", |store: Caller<'_>, (key, value, millis): (String, u64, Millis)| {
        Ok((store.data().store().set(key, value, millis),))
    })?;
    values.func_wrap("add", |store: Caller<'_>, (key, delta, millis): (WasmStr, i64, Millis)| {
        let key = key.to_str(&store)?;
        Ok((store.data().store().add(&key, delta, millis),))
    })
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

fn find_columns(
    mut store: StoreContextMut<'_, Guest>,
    (schema, name): Name,
) -> wasmtime::Result<ColumnsFact> {
    let (schema, name) = named(&store, schema.as_ref(), &name)?;
    let facts = store.data().facts();
    let fact = facts.map_or(ColumnsFact::Unknown, |facts| facts.columns_fact(schema.as_deref(), &name));
    if fact == ColumnsFact::Unknown {
        let key = FactKey::Columns { schema: schema.map(Cow::into_owned), name: name.into_owned() };
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
    if guest.plugin.counters.may_log() {
        let plugin = &guest.plugin.name;
        match level {
            Level::Error => tracing::error!(target: "waypool::plugin", %plugin, "{message}"),
            Level::Warn => tracing::warn!(target: "waypool::plugin", %plugin, "{message}"),
            Level::Info => tracing::info!(target: "waypool::plugin", %plugin, "{message}"),
            Level::Debug => tracing::debug!(target: "waypool::plugin", %plugin, "{message}"),
            Level::Trace => tracing::trace!(target: "waypool::plugin", %plugin, "{message}"),
        }
    }
    if level == Level::Error {
        guest.last_words = Some(message);
    }
}
