//! The configuration in each example's README is one.

use std::fs;
use std::path::Path;
use std::process::Command;

use waypool_tests::{run, waypool};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn the_configuration_of_each_readme_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut examples = 0;
    for example in fs::read_dir(format!("{ROOT}/examples/plugins")).unwrap() {
        let readme = fs::read_to_string(example.unwrap().path().join("README.md")).unwrap();
        let snippet =
            between(&readme, "```toml\n", "```").replace("target/plugins", &format!("{ROOT}/target/plugins"));
        let file = folder.path().join("waypool.toml");
        let servers = "[[backend]]\nhostname = \"localhost\"\n".to_owned();
        fs::write(&file, format!("sr_check_user = \"postgres\"\n{servers}{snippet}")).unwrap();
        check(&file, folder.path());
        examples += 1;
    }
    assert_eq!(examples, 8);
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let (_, text) = text.split_once(from).unwrap();
    text.split_once(to).unwrap().0
}

fn check(file: &Path, cache: &Path) {
    run(Command::new(waypool()).arg("check").arg("-c").arg(file).env("XDG_CACHE_HOME", cache), "").ok();
}
