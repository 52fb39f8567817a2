//! One worker thread: its own way to the plugins, its own statement cache.

use crate::proxy::Proxy;
use crate::routing::{Database, Router};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// What the sessions of one thread share.
pub struct Worker {
    pub proxy: Arc<Proxy>,
    /// Borrowed for the length of a call, never across a wait.
    pub router: RefCell<Router>,
    databases: RefCell<HashMap<Arc<str>, Rc<Database>>>,
}

impl Worker {
    pub fn new(proxy: Arc<Proxy>) -> Rc<Self> {
        let config = proxy.config();
        let cache_bytes = config.statement_cache_size / proxy.workers;
        let router =
            Router::new(proxy.cluster.clone(), proxy.plugins.clone(), proxy.policies.clone(), cache_bytes);
        drop(config);
        Rc::new(Worker { proxy, router: RefCell::new(router), databases: RefCell::default() })
    }

    pub fn database(&self, name: &str) -> Rc<Database> {
        let mut databases = self.databases.borrow_mut();
        if let Some(known) = databases.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        let facts = self.proxy.facts(&name);
        // Far fewer databases than four billion are ever connected to.
        let database = Rc::new(Database { number: databases.len() as u32, name: name.clone(), facts });
        databases.insert(name, database.clone());
        database
    }
}
