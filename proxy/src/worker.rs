//! One worker thread: its own way to the plugins, its own statement cache.

use crate::proxy::Proxy;
use crate::routing::{Database, Router};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// What the sessions of one thread share.
pub struct Worker {
    pub proxy: Arc<Proxy>,
    /// Borrowed for the length of a call, never across a wait.
    pub router: RefCell<Router>,
    databases: RefCell<HashMap<Arc<str>, Rc<Database>>>,
    /// The next database's number.
    next: Cell<u32>,
}

impl Worker {
    pub fn new(proxy: Arc<Proxy>) -> Rc<Self> {
        let config = proxy.config();
        let cache_bytes = config.statement_cache_size / proxy.workers;
        let router =
            Router::new(proxy.cluster.clone(), proxy.plugins.clone(), proxy.policies.clone(), cache_bytes);
        drop(config);
        Rc::new(Worker {
            proxy,
            router: RefCell::new(router),
            databases: RefCell::default(),
            next: Cell::new(0),
        })
    }

    pub fn database(&self, name: &str) -> Rc<Database> {
        let mut databases = self.databases.borrow_mut();
        if let Some(known) = databases.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        let facts = self.proxy.facts(&name);
        let number = self.next.replace(self.next.get().wrapping_add(1));
        let database = Rc::new(Database { number, name: name.clone(), facts });
        databases.insert(name, database.clone());
        database
    }

    /// A login failed: its database may not exist, and anybody can make names up.
    pub fn forget_unused(&self, name: &str) {
        let mut databases = self.databases.borrow_mut();
        if databases.get(name).is_some_and(|database| Rc::strong_count(database) == 1) {
            databases.remove(name);
        }
        drop(databases);
        self.proxy.forget_unused_facts(name);
    }
}
