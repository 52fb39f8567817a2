//! The recorded sessions: `cases.txt` has the whole texts, `expected/*.tsv`
//! the answers.

use std::path::PathBuf;

/// One statement of a session, and what Pgpool-II did with it.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub case: String,
    pub step: usize,
    /// `0`, `1`, `0,1` or `-`
    pub nodes: String,
    pub failed: bool,
    pub sql: String,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// The names of all recordings.
pub fn variants() -> Vec<String> {
    let files = std::fs::read_dir(path("expected")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".tsv").map(str::to_owned)).collect()
}

fn file(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn expected(variant: &str) -> String {
    file(&format!("expected/{variant}.tsv"))
}

/// The texts of `cases.txt`, by case.
fn texts() -> Vec<(String, Vec<String>)> {
    let mut cases: Vec<(String, Vec<String>)> = Vec::new();
    for line in file("cases.txt").lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push((name.to_owned(), Vec::new()));
        } else if let Some((_, texts)) = cases.last_mut() {
            texts.push(line.replace("\\n", "\n"));
        }
    }
    cases
}

/// The sessions of a variant, in order.
pub fn load(variant: &str) -> Vec<Vec<Recorded>> {
    let texts = texts();
    let mut sessions: Vec<Vec<Recorded>> = Vec::new();
    for line in expected(variant).lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [case, step, nodes, result, _] = columns[..] else { panic!("not a record: {line}") };
        let step: usize = step.parse().unwrap();
        let (_, statements) = texts.iter().find(|(name, _)| name == case).unwrap();
        if step == 0 {
            sessions.push(Vec::new());
        }
        sessions.last_mut().unwrap().push(Recorded {
            case: case.to_owned(),
            step,
            nodes: nodes.to_owned(),
            failed: result.starts_with("ERR"),
            sql: statements[step].clone(),
        });
    }
    sessions
}
