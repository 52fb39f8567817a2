//! The proxy, seen from inside WebAssembly.

use crate::bindings::shared::waypool::plugin::{clock, host, session, statement, store};
use crate::{FunctionFact, Level, RelationFact};

#[derive(Debug, Default)]
pub struct Proxy;

impl Proxy {
    #[inline]
    pub fn function_fact(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        host::find_function(schema, name)
    }

    #[inline]
    pub fn operator_fact(&self, name: &str) -> FunctionFact {
        host::find_operator(name)
    }

    #[inline]
    pub fn relation_fact(&self, schema: Option<&str>, name: &str) -> RelationFact {
        host::find_relation(schema, name)
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
