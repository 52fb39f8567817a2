#![allow(clippy::unwrap_used)]
use super::*;
use crate::words::cut;

fn of(text: &str) -> Query<'static> {
    let mut words = Vec::new();
    let text: &'static str = String::leak(text.to_owned());
    cut(text, &mut words);
    read(Cursor::new(text, words.leak()))
}

fn functions(text: &str) -> Vec<String> {
    of(text).functions.iter().map(Name::display).collect()
}

fn tables(text: &str) -> Vec<String> {
    of(text).reads.iter().map(Name::display).collect()
}

#[test]
fn calls_are_told_from_other_parentheses() {
    for (text, expected) in [
        (
            "SELECT count(*), Sum(a), \"F\"(1), s.f(2), pg_catalog.now()",
            vec!["count", "sum", "F", "s.f", "pg_catalog.now"],
        ),
        ("SELECT coalesce(a, (b)), CAST(c AS numeric(3, 1)), d::varchar(10), e::s.t(3)", vec![]),
        ("SELECT a FROM t WHERE a IN (1) AND (b) OR NOT (c) AND EXISTS (SELECT 1)", vec![]),
        (
            "SELECT left(a, 1), right(b, 1) FROM t LEFT JOIN (SELECT 1) x ON a LIKE (b) GROUP BY left(a, 1)",
            vec!["left", "right"],
        ),
        ("SELECT sum(a) FILTER (WHERE b) OVER (PARTITION BY c) FROM t", vec!["sum"]),
        ("SELECT DISTINCT ON (a) f(b) FROM t", vec!["f"]),
        ("WITH r(n) AS (SELECT f(1)) SELECT g(n) FROM r AS x(n)", vec!["f", "g"]),
        ("SELECT * FROM f(1) AS x(a, b), ROWS FROM (g(1), h(2)) WITH ORDINALITY", vec!["f", "g", "h"]),
        (
            "SELECT extract(year FROM f(a)), substring(a FROM g(b) FOR 2), position('a' IN h(b))",
            vec!["f", "g", "h"],
        ),
        ("SELECT a AT TIME ZONE f(b), CASE WHEN g(c) THEN h(d) ELSE i(e) END", vec!["f", "g", "h", "i"]),
        ("SELECT interval(6) '1', timestamp(3) '2020-01-01', f (1)", vec!["f"]),
        ("SELECT ARRAY[f(1)], a[g(2)], (h(3)).b, f(i(4))", vec!["f", "g", "h", "i"]),
        ("SELECT 1 LIMIT f() OFFSET g()", vec!["f", "g"]),
        ("SELECT by(1), sum(a) OVER (PARTITION BY (b)) FROM t GROUP BY (c) ORDER BY (d)", vec!["by", "sum"]),
        ("SELECT over(1), filter(2)", vec!["over", "filter"]),
        ("SELECT * FROM t TABLESAMPLE system(50) WHERE f(a)", vec!["f"]),
    ] {
        assert_eq!(functions(text), expected, "{text}");
    }
}

#[test]
fn relations_are_found_wherever_they_stand() {
    for (text, expected) in [
        (
            "SELECT * FROM a, b AS x, c y JOIN d USING (k) LEFT JOIN e ON f.g = h, i WHERE j",
            vec!["a", "b", "c", "d", "e", "i"],
        ),
        (
            "SELECT * FROM S.a, \"B\", ONLY c, ONLY (d), LATERAL (SELECT * FROM e) x",
            vec!["s.a", "B", "c", "d", "e"],
        ),
        (
            "SELECT * FROM (a JOIN (b CROSS JOIN c) ON true), ((d)), (SELECT 1 FROM f) x",
            vec!["a", "b", "c", "d", "f"],
        ),
        ("TABLE a", vec!["a"]),
        ("SELECT 1 UNION TABLE a UNION (SELECT 2 FROM b)", vec!["a", "b"]),
        (
            "SELECT (SELECT x FROM a WHERE EXISTS (SELECT 1 FROM b, c)) FROM d ORDER BY e, f",
            vec!["a", "b", "c", "d"],
        ),
        ("SELECT extract(year FROM x), trim(both FROM y), a IS DISTINCT FROM b FROM t", vec!["t"]),
        ("SELECT * FROM (VALUES (1, a), (2, b)) v(x, y), t", vec!["t"]),
        ("SELECT * FROM f(x), unnest(ARRAY[a, b]) u, t", vec!["t"]),
        ("SELECT 1 AS from, t.from FROM a GROUP BY b, c HAVING d LIMIT 1", vec!["a"]),
        ("INSERT INTO t (a, b) SELECT c, d FROM u", vec!["u"]),
        ("UPDATE ONLY s.t SET a = 1, b = 2 FROM u, v WHERE c", vec!["u", "v"]),
        ("DELETE FROM t USING u, v WHERE a", vec!["u", "v"]),
        ("DELETE FROM t WHERE a IN (SELECT b FROM t)", vec!["t"]),
        ("MERGE INTO t USING u ON a WHEN MATCHED THEN UPDATE SET b = (SELECT c FROM v)", vec!["u", "v"]),
        ("SELECT * FROM ROWS FROM (f(1), g(2)) x(a, b), t", vec!["t"]),
    ] {
        assert_eq!(tables(text), expected, "{text}");
    }
}

#[test]
fn targets_are_told_from_what_is_read() {
    for (text, expected) in [
        ("INSERT INTO s.t (a) VALUES (1)", vec!["s.t"]),
        ("UPDATE ONLY \"T\" AS x SET a = 1", vec!["T"]),
        ("DELETE FROM t", vec!["t"]),
        ("MERGE INTO ONLY t x USING u ON true WHEN MATCHED THEN DELETE", vec!["t"]),
        ("SELECT 1 INTO UNLOGGED TABLE t FROM u", vec!["t"]),
        (
            "WITH x AS (INSERT INTO a VALUES (1)), y AS (UPDATE b SET c = 1), z AS (DELETE FROM d) SELECT 1 FROM e",
            vec!["a", "b", "d"],
        ),
        ("WITH t AS (SELECT 1) INSERT INTO t SELECT * FROM t", vec!["t"]),
        ("SELECT * FROM t", vec![]),
    ] {
        let query = of(text);
        let targets: Vec<String> = query.targets.iter().map(Name::display).collect();
        assert_eq!(targets, expected, "{text}");
    }
}

#[test]
fn a_with_query_hides_the_table_of_its_name_where_it_can_be_read() {
    for (text, expected) in [
        ("WITH x AS (SELECT 1) SELECT * FROM x, t", vec!["t"]),
        ("WITH x AS (SELECT * FROM x) SELECT * FROM x", vec!["x"]),
        ("WITH RECURSIVE x AS (SELECT 1 UNION SELECT * FROM x) SELECT * FROM x", vec![]),
        ("WITH x(a, b) AS MATERIALIZED (SELECT 1), y (c) AS NOT MATERIALIZED (TABLE x) TABLE y", vec![]),
        ("WITH y AS (SELECT * FROM x), x AS (SELECT 1) SELECT * FROM x", vec!["x"]),
        ("WITH x AS (SELECT 1) SELECT * FROM s.x, \"X\", X", vec!["s.x", "X"]),
        ("WITH x AS (SELECT 1) (SELECT * FROM x) UNION (SELECT * FROM x)", vec![]),
        ("(WITH x AS (SELECT 1) SELECT * FROM x) UNION SELECT * FROM x", vec!["x"]),
        ("SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x) z, x", vec!["x"]),
        ("WITH x AS (WITH y AS (SELECT 1) SELECT * FROM y) SELECT * FROM x, y", vec!["y"]),
        ("WITH x AS (SELECT 1) SELECT (SELECT (SELECT a FROM x)) FROM (x JOIN t ON true)", vec!["t"]),
        (
            "WITH RECURSIVE x AS (SELECT 1) SEARCH DEPTH FIRST BY a, b SET c, y AS (SELECT 2) SELECT * FROM x, y, b",
            vec!["b"],
        ),
        ("WITH x AS (SELECT 1) CYCLE a SET b USING c, y AS (SELECT 2) TABLE y", vec![]),
        ("WITH x AS (SELECT 1) DELETE FROM t USING x", vec![]),
        ("WITH x AS (SELECT 1), y AS (DELETE FROM t RETURNING a) SELECT * FROM x, y", vec![]),
        // Not a WITH clause
        ("SELECT * FROM f() WITH ORDINALITY, x AS y (a, b), y", vec!["x", "y"]),
        ("SELECT timestamp(3) WITH TIME ZONE 'now', a FROM x, a", vec!["x", "a"]),
        ("SELECT a AS x FROM x", vec!["x"]),
    ] {
        assert_eq!(tables(text), expected, "{text}");
    }
}

#[test]
fn operators_are_listed_once_each() {
    for (text, expected) in [
        ("SELECT * FROM t WHERE a = 1 AND b = 2 OR c <> -d", vec!["-"]),
        ("SELECT *, t.*, count(*), a * b, f(c => 1)", vec!["*"]),
        (
            "SELECT a OPERATOR(pg_catalog.+) b, OPERATOR(s.<@@>) c, d OPERATOR ( @@ ) e",
            vec!["+", "<@@>", "@@"],
        ),
        ("SELECT a LIKE b, c NOT ILIKE d", vec!["~~", "!~~", "~~*", "!~~*"]),
        ("SELECT a BETWEEN 1 AND 2, b IN (1)", vec![]),
        ("SELECT NULLIF(a, b) FROM t ORDER BY c USING >", vec![]),
        ("SELECT a SIMILAR TO 'b'", vec!["~", "!~"]),
        ("SELECT a->'b'->>'c' #>> '{d}', e[1:2], f::int", vec!["->", "->>", "#>>"]),
        ("SELECT operator(1), like(a, b)", vec![]),
    ] {
        assert_eq!(of(text).operators, expected, "{text}");
    }
    assert_eq!(functions("SELECT operator(1), like(a, b), a OPERATOR(s.+) b"), ["operator", "like"]);
}

#[test]
fn what_looks_like_a_call_and_is_none() {
    for text in [
        "SELECT * FROM t x(a, b), (SELECT 1) y(c), LATERAL (TABLE u) AS z(d) JOIN v w(e) ON true",
        "SELECT a FROM t GROUP BY ROLLUP (a, b), CUBE (c), GROUPING SETS ((a), ROLLUP (b), CUBE (c))",
        "SELECT a AT TIME ZONE (b)",
        "WITH x(a) AS (SELECT 1), y(b) AS (SELECT 2) SELECT 1",
    ] {
        assert_eq!(functions(text), Vec::<String>::new(), "{text}");
    }
    for (text, expected) in [
        ("SELECT * FROM f(1) x(a, b), g(2) WITH ORDINALITY y(c), h(3)", vec!["f", "g", "h"]),
        (
            "SELECT cube(a), rollup(b) FROM t WHERE cube(c) GROUP BY d HAVING rollup(e)",
            vec!["cube", "rollup"],
        ),
        ("SELECT * FROM t JOIN u ON f(t) JOIN g(1) h(a) ON i(a)", vec!["f", "g", "i"]),
    ] {
        assert_eq!(functions(text), expected, "{text}");
    }
}

#[test]
fn writes_are_seen_in_every_place() {
    for text in [
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x",
        "WITH x AS NOT MATERIALIZED (DELETE FROM t RETURNING a) SELECT * FROM x",
        "WITH x AS (SELECT 1), y AS MATERIALIZED (UPDATE ONLY t SET a = 1 RETURNING a) SELECT 1",
        "WITH x AS (UPDATE \"T\" AS u SET a = 1) SELECT 1",
        "WITH x AS (WITH y AS (SELECT 1) DELETE FROM t) SELECT 1",
        "WITH x AS (MERGE INTO t USING u ON a WHEN MATCHED THEN DELETE) SELECT 1",
        "WITH x AS (SELECT 1) INSERT INTO t SELECT 1",
        "WITH x AS (SELECT 1) UPDATE t SET a = 1",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "WITH RECURSIVE x AS (SELECT 1) SEARCH DEPTH FIRST BY a SET b DELETE FROM t",
        "WITH RECURSIVE x AS (SELECT 1) CYCLE a SET b USING c UPDATE t SET a = 1",
        "SELECT 1 INTO t",
        "SELECT a INTO TEMP t FROM u",
        "SELECT 1 UNION SELECT 2 INTO t",
        "insert/**/into t values (1)",
    ] {
        assert!(of(text).writes.is_some(), "{text}");
    }
}

#[test]
fn columns_named_like_statements_are_no_writes() {
    for text in [
        "SELECT insert, update, delete FROM perms WHERE (update OR delete) AND max(merge) > 1",
        "SELECT t.into, 1 AS into, 2 AS update FROM t",
        "SELECT count(update), (delete), f(insert, update) FROM t",
    ] {
        let query = of(text);
        assert_eq!((query.writes, query.doubt, query.broken), (None, None, None), "{text}");
    }
}

#[test]
fn locks_are_seen_in_every_place() {
    for text in [
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR NO KEY UPDATE OF t SKIP LOCKED",
        "SELECT * FROM (SELECT * FROM t FOR SHARE) x",
        "WITH x AS (SELECT * FROM t for key share) SELECT * FROM x",
    ] {
        assert!(of(text).locks, "{text}");
    }
    assert!(!of("SELECT substring(a FROM 1 FOR 2) FROM t WHERE b FETCH FIRST 1 ROW ONLY").locks);
}

#[test]
fn what_postgresql_refuses_is_not_vouched_for() {
    for text in [
        "SELECT * FORM t1",
        "SELECT 1 1",
        "SELECT 'a' 'b'",
        "SELECT FROM WHERE",
        "SELECT a FROM",
        "SELECT a,",
        "SELECT * FROM a, WHERE b",
        "SELECT a WHERE",
        "SELECT * FROM 5",
    ] {
        assert!(of(text).doubt.is_some(), "{text}");
    }
    for text in ["SELECT (1", "SELECT 1)", "SELECT a[1)", "SELECT 'a", "SELECT \\", "SELECT U&\"a\"(1)"] {
        assert!(of(text).broken.is_some(), "{text}");
    }
}

#[test]
fn ordinary_queries_leave_no_doubt() {
    for text in [
        "SELECT abalance FROM pgbench_accounts WHERE aid = 12345",
        "SELECT DISTINCT ON (a, b) a, b::date, c->>'k', -d, $1::int, 'x' || e FROM t x JOIN u USING (id) WHERE f BETWEEN 1 AND 2 AND g LIKE '%a' ESCAPE '!' OR h IS NOT NULL ORDER BY i DESC NULLS LAST LIMIT 10 OFFSET $2",
        "SELECT a FROM t ORDER BY a FETCH FIRST 5 ROWS ONLY",
        "SELECT date '2020-01-01' + interval '1 day', timestamp(3) with time zone 'now', E'a\\n', B'1', a AT TIME ZONE 'UTC'",
        "SELECT *, t.*, count(*) * 2 FROM t GROUP BY GROUPING SETS ((a), (b), ()) HAVING count(*) > 1",
        "SELECT a[1:2], ARRAY[1, 2], ROW(1, 2), (t).a.b, f(VARIADIC x), g(a => 1, b := 2) FROM t",
        "SELECT sum(a) OVER w, rank() OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t WINDOW w AS (PARTITION BY c)",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
        "WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r) SEARCH DEPTH FIRST BY n SET o SELECT * FROM r",
        "SELECT a OPERATOR(pg_catalog.+) b, c COLLATE \"C\" FROM t NATURAL LEFT OUTER JOIN u CROSS JOIN LATERAL f(t.a) x",
        "SELECT",
        "SELECT FROM t",
    ] {
        let query = of(text);
        assert_eq!((query.writes, query.doubt, query.broken), (None, None, None), "{text}");
    }
}

#[test]
fn depth_and_length_have_no_price_but_time() {
    let deep = format!("SELECT {}1{}", "(".repeat(200_000), ")".repeat(200_000));
    assert!(of(&deep).broken.is_none());
    let calls: String = (0..300).map(|number| format!("f{number}(),")).collect();
    assert!(of(&format!("SELECT {calls} 1")).broken.is_some());
}
