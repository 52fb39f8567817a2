use super::*;

fn only(text: &str) -> Target {
    let mut found = targets(text, false);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    found.remove(0)
}

#[test]
fn an_insert_is_found_with_its_columns() {
    let target =
        only("/* a */ INSERT INTO S.\"t Space\" AS x (a, \"B\", c[1], d.e) OVERRIDING USER VALUE VALUES (1)");
    assert_eq!(target.table, "\"s\".\"t Space\"");
    assert_eq!(target.columns.as_deref().unwrap_or_default(), ["a", "B", "c", "d"]);
    assert_eq!(target.rows, Rows::Written);
    assert!(target.leaves_out("id") && !target.leaves_out("B"));
    assert_eq!(only("insert into t default values").rows, Rows::Written);
    assert!(only("INSERT INTO t SELECT 1").leaves_out("any"));
    assert_eq!(only("INSERT INTO t (a) (SELECT 1)").rows, Rows::Selected);
    assert_eq!(only("INSERT INTO t (SELECT 1)").columns, None);
    assert_eq!(only("INSERT INTO t ((SELECT 1))").rows, Rows::Selected);
    assert_eq!(only("PREPARE p (int) AS INSERT INTO t (a) SELECT $1").rows, Rows::Selected);
    assert_eq!(only("WITH x AS (SELECT 1) INSERT INTO t (a) TABLE x").rows, Rows::Selected);
}

#[test]
fn a_copy_into_a_table_is_found() {
    assert_eq!(only("COPY t (a, b) FROM STDIN").rows, Rows::Copied { defaults: false });
    assert!(only("COPY t (a, b) FROM STDIN").leaves_out("id"));
    assert!(!only("COPY t FROM STDIN WITH (FORMAT csv)").leaves_out("id"));
    assert!(only("COPY binary t FROM STDIN (DEFAULT 'x')").leaves_out("id"));
    for text in ["COPY t TO STDOUT", "COPY (SELECT 1) TO STDOUT", "SELECT copy FROM t"] {
        assert_eq!(targets(text, false), [], "{text}");
    }
}

#[test]
fn several_are_found_in_their_order() {
    let text = "UPDATE a SET b = 1; INSERT INTO t VALUES (1); COPY u (a) FROM STDIN; SELECT 1; INSERT INTO v SELECT 2";
    let tables: Vec<_> = targets(text, true).into_iter().map(|target| target.table).collect();
    assert_eq!(tables, ["\"t\"", "\"u\"", "\"v\""]);
    let inside = "WITH x AS (INSERT INTO t (a) VALUES (1) RETURNING a) INSERT INTO u SELECT a FROM x";
    assert_eq!(targets(inside, false).len(), 2);
    assert_eq!(targets("DELETE FROM t WHERE a IN (SELECT 1)", false), []);
}

#[test]
fn what_breaks_off_is_left_out() {
    for text in
        ["INSERT", "INSERT INTO", "INSERT INTO 1", "INSERT INTO t.", "COPY", "COPY t (a", "COPY t (a,, b)"]
    {
        assert_eq!(targets(text, false), [], "{text}");
    }
    assert_eq!(only("INSERT INTO t (a").columns.as_deref().unwrap_or_default(), ["a"]);
    assert_eq!(only("INSERT INTO t (,").columns.as_deref().unwrap_or_default(), [""; 0]);
}
