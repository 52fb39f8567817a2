//! The proxy, seen from inside WebAssembly.

use crate::bindings::shared::waypool::plugin::{clock, host, session, statement, store};
use std::cell::RefCell;

use super::memo::Memo;
use crate::{ColumnsFact, FunctionFact, Level, RelationFact};

thread_local! {
    // An instance has one thread.
    static FUNCTIONS: RefCell<Memo<FunctionFact>> = const { RefCell::new(Memo::new()) };
    static OPERATORS: RefCell<Memo<FunctionFact>> = const { RefCell::new(Memo::new()) };
    static RELATIONS: RefCell<Memo<RelationFact>> = const { RefCell::new(Memo::new()) };
    static COLUMNS: RefCell<Memo<ColumnsFact>> = const { RefCell::new(Memo::new()) };
}

pub fn facts_are_of(epoch: u64) {
    FUNCTIONS.with_borrow_mut(|memo| memo.follow(epoch));
    OPERATORS.with_borrow_mut(|memo| memo.follow(epoch));
    RELATIONS.with_borrow_mut(|memo| memo.follow(epoch));
    COLUMNS.with_borrow_mut(|memo| memo.follow(epoch));
}

#[derive(Debug, Default)]
pub struct Proxy;

impl Proxy {
    #[inline]
    pub fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        FUNCTIONS.with_borrow_mut(|memo| {
            let found = |fact: &FunctionFact| !matches!(fact, FunctionFact::Unknown);
            memo.get(schema, name, found, || host::find_function(schema, name))
        })
    }

    #[inline]
    pub fn operator_fact(&self, name: &str) -> FunctionFact {
        OPERATORS.with_borrow_mut(|memo| {
            let found = |fact: &FunctionFact| !matches!(fact, FunctionFact::Unknown);
            memo.get(None, name, found, || host::find_operator(name))
        })
    }

    #[inline]
    pub fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        RELATIONS.with_borrow_mut(|memo| {
            let found = |fact: &RelationFact| !matches!(fact, RelationFact::Unknown);
            memo.get(schema, name, found, || host::find_relation(schema, name))
        })
    }

    #[inline]
    pub fn columns_fact(&self, schema: Option<&str>, name: &str) -> ColumnsFact {
        COLUMNS.with_borrow_mut(|memo| {
            let found = |fact: &ColumnsFact| !matches!(fact, ColumnsFact::Unknown);
            memo.get(schema, name, found, || host::find_columns(schema, name))
        })
    }

    #[inline]
    pub fn log(&self, level: Level, message: &str) {
        host::log(level, message);
    }

    #[inline]
    pub fn count(&self, name: &str, delta: u64) {
        host::count(name, delta);
    }

    #[inline]
    pub fn gauge(&self, name: &str, value: f64) {
        host::gauge(name, value);
    }

    #[inline]
    pub fn database(&self) -> String {
        session::database()
    }

    #[inline]
    pub fn user(&self) -> String {
        session::user()
    }

    #[inline]
    pub fn application_name(&self) -> String {
        session::application_name()
    }

    #[inline]
    pub fn reads(&self) -> Vec<String> {
        statement::reads()
    }

    #[inline]
    pub fn writes(&self) -> Vec<String> {
        statement::writes()
    }

    #[inline]
    pub fn functions(&self) -> Vec<String> {
        statement::functions()
    }

    #[inline]
    pub fn tags(&self) -> Vec<String> {
        statement::tags()
    }

    #[inline]
    pub fn remember(&self, word: &str) {
        statement::remember(word);
    }

    #[inline]
    pub fn remembered(&self) -> Vec<String> {
        statement::remembered()
    }

    #[inline]
    pub fn get(&self, key: &str) -> Option<u64> {
        store::get(key)
    }

    #[inline]
    pub fn set(&self, key: &str, value: u64, millis: Option<u64>) -> bool {
        store::set(key, value, millis)
    }

    #[inline]
    pub fn add(&self, key: &str, delta: i64, millis: Option<u64>) -> Option<u64> {
        store::add(key, delta, millis)
    }

    #[inline]
    pub fn now(&self) -> u64 {
        clock::now()
    }
}
