#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_file_that_has_settled_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.wasm");
    std::fs::write(&file, "one").unwrap();
    let text = "backend_clustering_mode = 'raw'\n[[backend]]\nhostname = 'a'\n[plugins.p]\npath = 'p.wasm'\n";
    let config = Config::parse(text, folder.path().join("waypool.toml")).unwrap();
    let mut watch = Watch::new(&config);
    let mut looks = |times| (0..times).map(|_| watch.is_time(stamps(&config))).collect::<Vec<_>>();
    assert_eq!(looks(2), [false, false]);
    std::fs::write(&file, "the second").unwrap();
    assert_eq!(looks(1), [false], "somebody may be writing it");
    std::fs::write(&file, "the second and more").unwrap();
    assert_eq!(looks(3), [false, true, false]);
    // A signature that comes later is a change too.
    std::fs::write(signature_file(&file), "signed").unwrap();
    assert_eq!(looks(3), [false, true, false]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(looks(3), [false, true, false]);
}
