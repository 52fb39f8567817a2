//! Compiled code is kept: a second start does not compile.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use waypool_tests::Proxy;
use waypool_tests::load::quiet_servers;
use waypool_tests::plugins::{WITNESS, Witness, told};

/// The compiled plugins in the cache, and when they were written.
fn compiled(cache: &Path) -> BTreeMap<String, SystemTime> {
    let Ok(files) = fs::read_dir(cache.join("waypool")) else {
        return BTreeMap::new();
    };
    let named = files.map(|file| {
        let file = file.unwrap();
        (file.file_name().into_string().unwrap(), file.metadata().unwrap().modified().unwrap())
    });
    named.collect()
}

#[test]
fn a_second_start_compiles_nothing() {
    let witness = Witness::default();
    let cache = tempfile::tempdir().unwrap();
    let with = |builder: waypool_tests::Builder| {
        builder.environment("XDG_CACHE_HOME", &cache.path().display().to_string())
    };
    let configuration = with(witness.in_use(Proxy::builder(quiet_servers())));
    configuration.clone().start().stop();
    let first = compiled(cache.path());
    assert_eq!(first.len(), 1, "{first:?}");
    let proxy = configuration.start();
    assert_eq!(compiled(cache.path()), first);
    // What was pushed is kept like what was configured.
    witness.push(&proxy, 2, "sound");
    let both = compiled(cache.path());
    assert_eq!(both.len(), 2, "{both:?}");
    witness.push(&proxy, 2, "sound");
    assert_eq!(compiled(cache.path()), both);
}

#[test]
fn a_cache_that_is_spoilt_is_made_anew() {
    let witness = Witness::default();
    let cache = tempfile::tempdir().unwrap();
    let variable = cache.path().display().to_string();
    let configuration =
        witness.in_use(Proxy::builder(quiet_servers())).environment("XDG_CACHE_HOME", &variable);
    configuration.clone().start().stop();
    let (name, _) = compiled(cache.path()).pop_first().unwrap();
    let file = cache.path().join("waypool").join(name);
    let whole = fs::read(&file).unwrap();
    for spoilt in [&whole[..whole.len() / 2], &[], b"not machine code at all"] {
        fs::write(&file, spoilt).unwrap();
        let proxy = configuration.clone().start();
        assert_eq!(told(&proxy, &["stats", WITNESS])["state"], "active");
        proxy.stop();
        assert_eq!(fs::read(&file).unwrap().len(), whole.len());
    }
}
