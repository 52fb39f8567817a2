#![allow(clippy::unwrap_used)]

mod chain;
mod edits;
mod gates;
mod places;

use super::cache::{By, Cache, Key};
use super::facts::{Facts, Lookup};
use super::*;
use crate::auth::server::Credentials;
use crate::config::Config;
use crate::plugin::Options;
use crate::plugin::contract::SessionInfo;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// `examples/hostile`, which misbehaves on demand.
fn hostile_file() -> PathBuf {
    let folder = std::env::var_os("WAYPOOL_PLUGINS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins"), PathBuf::from);
    folder.join("hostile.wasm")
}

/// An entry of a hostile plugin.
fn hostile(name: &str, keys: &str, config: &str) -> String {
    format!(
        "[plugins.{name}]\npath = {:?}\ndeadline = \"500ms\"\n{keys}\n[plugins.{name}.config]\n{config}\n",
        hostile_file()
    )
}

/// A worker's way to two servers that nobody reaches, and to these plugins.
struct Fixture {
    router: RefCell<Router>,
    host: Arc<PluginHost>,
    database: Rc<Database>,
}

impl Fixture {
    fn new(plugins: &str) -> Self {
        let backend = |port| format!("[[backend]]\nhostname = \"127.0.0.1\"\nport = {port}\n");
        let text = format!("sr_check_user = \"nobody\"\n{}{}{plugins}", backend(1), backend(2));
        let config = Config::parse(&text, Path::new("test.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        let cluster = Arc::new(Cluster::new(&config));
        cluster.assume_up();
        let options = Options { workers: 1, code_cache: Some(std::env::temp_dir().join(code_cache())) };
        let host = PluginHost::new(crate::proxy::sources(&config), options);
        let host = host.unwrap_or_else(|error| panic!("{error}"));
        let lookup = Lookup {
            cluster: cluster.clone(),
            pools: Vec::new(),
            user: "nobody".into(),
            credentials: Credentials::from_secret(None),
            from_standby: false,
            size: 1000,
            expire: None,
        };
        let facts = Arc::new(Facts::new(Arc::new(lookup), "db".into()));
        Fixture {
            router: RefCell::new(Router::new(cluster, host.clone(), 1 << 20)),
            host,
            database: Rc::new(Database { name: "db".into(), facts }),
        }
    }

    fn scope_of(&self, user: &str) -> Rc<Scope> {
        let info = SessionInfo {
            database: "db".to_owned(),
            user: user.to_owned(),
            application_name: "psql".to_owned(),
        };
        self.router.borrow_mut().scope(&self.database, &info)
    }

    fn scope(&self) -> Rc<Scope> {
        self.scope_of("me")
    }

    /// What the plugins say of a text, whether or not the cache knows it.
    async fn classify(&self, text: &str) -> Rc<Classified> {
        classify(&self.router, text.as_bytes(), &self.scope()).await.unwrap()
    }

    /// Whether the cache knows the text.
    fn knows(&self, text: &str) -> bool {
        self.knows_for("me", text)
    }

    fn knows_for(&self, user: &str, text: &str) -> bool {
        let scope = self.scope_of(user);
        self.router.borrow_mut().lookup(text.as_bytes(), &scope).is_some()
    }

    fn holds(&self, classified: &Classified) -> bool {
        let scope = self.scope();
        self.router.borrow().holds(classified, &scope)
    }

    /// What is counted of a plugin.
    fn counts(&self, name: &str) -> crate::plugin::Counts {
        self.host.plugins().into_iter().find(|info| info.source.name() == name).unwrap().counts
    }
}

fn code_cache() -> String {
    format!("waypool-test-code-{}", rustix::process::geteuid().as_raw())
}

fn text(bytes: &[u8]) -> Key<'_> {
    Key { scope: 0, by: By::Text, bytes }
}

#[test]
fn entries_differ_by_text_scope_and_kind() {
    let mut cache = Cache::new(10_000);
    cache.insert(text(b"SELECT 1"), 1, 0);
    assert_eq!(cache.get(text(b"SELECT 1")), Some(&1));
    assert_eq!(cache.get(text(b"SELECT 2")), None);
    assert_eq!(cache.get(Key { scope: 1, ..text(b"SELECT 1") }), None);
    assert_eq!(cache.get(Key { by: By::Shape, ..text(b"SELECT 1") }), None);
    cache.insert(text(b"SELECT 1"), 2, 0);
    assert_eq!(cache.get(text(b"SELECT 1")), Some(&2));
    assert_eq!(cache.len(), 1);
}

#[test]
fn memory_is_bounded_and_what_is_used_stays() {
    let mut cache = Cache::new(10_000);
    cache.insert(text(b"hot"), 0, 100);
    for number in 0..10_000u32 {
        cache.insert(text(&number.to_be_bytes()), number, 100);
        assert_eq!(cache.get(text(b"hot")), Some(&0));
    }
    assert!(cache.len() <= 100, "{} entries", cache.len());
}

#[test]
fn an_entry_larger_than_the_cache_is_not_kept() {
    let mut cache = Cache::new(1000);
    cache.insert(text(&[b'x'; 2000]), 1, 0);
    assert!(cache.is_empty());
}

#[test]
fn a_text_counts_as_seen_from_its_second_time() {
    let mut cache = Cache::<()>::new(1000);
    assert!(!cache.seen_before(text(b"a")));
    assert!(cache.seen_before(text(b"a")));
}
