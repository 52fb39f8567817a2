#![allow(clippy::unwrap_used)]
use super::Detached;
use std::path::PathBuf;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("waypool-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn status(&self) -> String {
        std::fs::read_to_string(self.0.join("pgpool_status")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_detached_stays_so_across_a_restart() {
    let folder = Folder::new("detached");
    let detached = Detached::open(&folder.0, 3).unwrap();
    assert_eq!(folder.status(), "up\nup\nup\n");
    assert!(detached.add(1).unwrap());
    assert!(!detached.add(1).unwrap(), "it was already");
    assert_eq!(folder.status(), "up\ndown\nup\n");
    assert_eq!(Detached::open(&folder.0, 3).unwrap().servers(), [1]);
    std::fs::write(folder.0.join("pgpool_status"), "up\nup\nup\n").unwrap();
    assert!(Detached::open(&folder.0, 3).unwrap().servers().is_empty());
}

#[test]
fn the_last_server_is_never_detached() {
    let folder = Folder::new("last");
    let detached = Detached::open(&folder.0, 2).unwrap();
    assert!(detached.add(0).unwrap());
    assert!(!detached.add(1).unwrap());
    assert_eq!(detached.servers(), [0]);
    assert!(!detached.add(7).unwrap(), "there is no such server");
}

#[test]
fn a_file_in_which_all_are_down_is_refused() {
    let folder = Folder::new("all-down");
    std::fs::write(folder.0.join("pgpool_status"), "down\ndown\n").unwrap();
    let error = Detached::open(&folder.0, 2).unwrap_err().to_string();
    assert!(error.contains("every server is down"), "{error}");
    assert!(Detached::open(&folder.0.join("nowhere"), 2).is_err());
}
