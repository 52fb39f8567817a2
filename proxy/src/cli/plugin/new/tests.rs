#![allow(clippy::unwrap_used)]

use super::*;

fn made(name: &str, roles: &[Role]) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join(name);
    new(&Options { folder: folder.clone(), roles: roles.to_vec() }).unwrap();
    (parent, folder)
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

#[test]
fn each_role_has_its_own_parts_only() {
    for role in Role::value_variants() {
        let (_parent, folder) = made("my-rule", &[*role]);
        let library = read(&folder, "src/lib.rs");
        assert!(library.contains(&format!("export!(Rule: {});", role.name())), "{library}");
        for other in ["Classifier", "Rewriter", "Balancer", "Gate", "Observer"] {
            let has_it = library.contains(&format!("impl {other} for Rule"));
            assert_eq!(has_it, other.eq_ignore_ascii_case(role.name()), "{other} in\n{library}");
        }
        for file in ["src/lib.rs", "tests/rule.rs", "Cargo.toml", "README.md"] {
            let text = read(&folder, file);
            assert!(text.lines().all(|line| mark(line).is_none()), "{file} has marks:\n{text}");
            assert!(!text.contains("template") && !text.contains("NAME"), "{file}:\n{text}");
        }
        assert!(read(&folder, "tests/rule.rs").contains("use my_rule::{Config, Rule};"));
        assert_eq!(read(&folder, "Cargo.toml").contains("waypool-scan"), *role == Role::Rewriter);
        assert_eq!(folder.join("tests/table.toml").exists(), *role != Role::Observer);
        if *role != Role::Observer {
            toml::de::DeTable::parse(&read(&folder, "tests/table.toml")).unwrap();
            assert!(read(&folder, "tests/table.rs").contains(role.name()));
        }
        assert!(read(&folder, ".gitignore").contains("target"));
    }
}

#[test]
fn several_roles_share_one_type() {
    let (_parent, folder) = made("two", &[Role::Observer, Role::Gate, Role::Gate]);
    let library = read(&folder, "src/lib.rs");
    assert!(library.contains("export!(Rule: gate, observer);"), "{library}");
    assert!(library.contains("impl Gate for Rule") && library.contains("impl Observer for Rule"));
}

#[test]
fn the_sdk_comes_along() {
    let (_parent, folder) = made("rule", &[Role::Classifier]);
    assert!(folder.join("sdk/plugin-sdk/wit/waypool.wit").exists());
    assert!(folder.join("sdk/plugin-sdk/scan/src/lib.rs").exists());
    assert!(!folder.join("sdk/plugin-sdk/template").exists());
    let workspace = read(&folder, "sdk/Cargo.toml");
    let table = toml::de::DeTable::parse(&workspace).unwrap();
    let members = table.get_ref()["workspace"].get_ref().get("members").unwrap().get_ref();
    for member in members.as_array().unwrap().iter() {
        let member = member.get_ref().as_str().unwrap();
        assert!(folder.join("sdk").join(member).join("Cargo.toml").exists(), "{member}");
    }
    let manifest = read(&folder, "Cargo.toml");
    assert!(manifest.contains("waypool-plugin-sdk = { path = \"sdk/plugin-sdk\" }"), "{manifest}");
    toml::de::DeTable::parse(&manifest).unwrap();
}

#[test]
fn names_that_cannot_be_are_told() {
    let wrong = |name: &str| name_of(Path::new(name)).unwrap_err().to_string();
    assert!(wrong("My-Rule").contains("a-z"));
    assert!(wrong("a/b/trusted_keys").contains("key of [plugins]"));
    assert!(wrong("1st").contains("begin with a letter"));
    assert!(wrong("std").contains("another name"));
    assert!(wrong("/").contains("no name"));
    assert_eq!(name_of(Path::new("/tmp/a_rule-2")).unwrap(), "a_rule-2");
}

#[test]
fn a_folder_with_files_is_left_alone() {
    let (parent, folder) = made("rule", &[Role::Classifier]);
    let again = new(&Options { folder, roles: vec![Role::Gate] }).unwrap_err().to_string();
    assert!(again.contains("not empty"), "{again}");
    drop(parent);
}
