//! One worker thread: its own way to the plugins, its own statement cache.

use crate::plugin::{BATCH, Observed};
use crate::proxy::Proxy;
use crate::routing::{Database, Router};
use crate::session::clock::Clocks;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Observers hear of a statement after so long at the latest.
const OBSERVE_EVERY: Duration = Duration::from_millis(500);

/// What the sessions of one thread share.
pub struct Worker {
    pub proxy: Arc<Proxy>,
    /// Borrowed for the length of a call, never across a wait.
    pub router: RefCell<Router>,
    /// How long its sessions take.
    pub clocks: Clocks,
    databases: RefCell<HashMap<Arc<str>, Rc<Database>>>,
    /// What the observers are still to be told.
    observed: RefCell<Vec<Observed>>,
}

impl Worker {
    pub fn new(proxy: Arc<Proxy>) -> Rc<Self> {
        let config = proxy.config();
        let cache_bytes = config.statement_cache_size / proxy.workers;
        let router = Router::new(proxy.cluster.clone(), proxy.plugins.clone(), cache_bytes);
        drop(config);
        Rc::new(Worker {
            proxy,
            router: RefCell::new(router),
            clocks: Clocks::default(),
            databases: RefCell::default(),
            observed: RefCell::default(),
        })
    }

    pub fn database(&self, name: &str) -> Rc<Database> {
        let mut databases = self.databases.borrow_mut();
        if let Some(known) = databases.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        let facts = self.proxy.facts(&name);
        let database = Rc::new(Database { name: name.clone(), facts });
        databases.insert(name, database.clone());
        database
    }

    /// A statement is over that observers want to hear of: soon, and together
    /// with others.
    pub fn observe(self: &Rc<Self>, seen: Observed) {
        let mut observed = self.observed.borrow_mut();
        observed.push(seen);
        if observed.len() >= BATCH {
            self.proxy.observers.tell(&self.proxy.plugins, &mut observed);
        } else if observed.len() == 1 {
            let worker = self.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(OBSERVE_EVERY).await;
                let mut observed = worker.observed.borrow_mut();
                if !observed.is_empty() {
                    worker.proxy.observers.tell(&worker.proxy.plugins, &mut observed);
                }
            });
        }
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
