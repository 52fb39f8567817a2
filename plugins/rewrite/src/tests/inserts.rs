use super::*;

#[test]
fn values_are_evaluated_once_for_each_place() {
    check(&[
        ("INSERT INTO plain VALUES (1, 'x')", "kept"),
        (
            "insert into plain /* c */ values (now(), random()) -- end",
            "insert into plain /* c */ values ({now()}, {random()}) -- end",
        ),
        (
            "INSERT INTO plain VALUES (1, current_timestamp(3)::text), (2, LOCALTIMESTAMP)",
            "INSERT INTO plain VALUES (1, {current_timestamp(3)}::text), (2, {LOCALTIMESTAMP})",
        ),
        (
            "INSERT INTO plain VALUES (date_part('day', pg_catalog.now()), 'x')",
            "INSERT INTO plain VALUES (date_part('day', {pg_catalog.now()}), 'x')",
        ),
        (
            "INSERT INTO plain VALUES (nextval('s'::regclass), volatile_one(now()))",
            "INSERT INTO plain VALUES ({nextval('s'::regclass)}!, {volatile_one(now())}!)",
        ),
        (
            "INSERT INTO plain VALUES (public.volatile_one(lower('x'), 2), stable_one())",
            "INSERT INTO plain VALUES ({public.volatile_one(lower('x'), 2)}!, stable_one())",
        ),
        (
            "INSERT INTO plain VALUES ('now'::timestamptz, timestamp with time zone 'now')",
            "INSERT INTO plain VALUES ({'now'::timestamptz}, {timestamp with time zone 'now'})",
        ),
        (
            "INSERT INTO plain VALUES (CAST('today' AS date), 'tomorrow 12:00'::timestamp(0) without time zone)",
            "INSERT INTO plain VALUES ({CAST('today' AS date)}, {'tomorrow 12:00'::timestamp(0) without time zone})",
        ),
        ("INSERT INTO plain VALUES ('now', 'now'::text)", "kept"),
        ("INSERT INTO d VALUES ('now', 'now')", "INSERT INTO d VALUES ({'now'}, 'now')"),
        ("INSERT INTO plain VALUES ($1, now())", "INSERT INTO plain VALUES ($1, {now()})"),
        ("INSERT INTO plain VALUES (nextval($1), 'x')", "refused: …nextval()"),
        ("INSERT INTO plain VALUES (1, 'a\\'), (now(), 'x')", "refused: …backslash"),
        ("INSERT INTO plain VALUES ((SELECT random()), 'x')", "refused: …random()"),
        (
            "INSERT INTO plain VALUES ((SELECT max(a) FROM t WHERE made < now()), 'x')",
            "INSERT INTO plain VALUES ((SELECT max(a) FROM t WHERE made < {now()}), 'x')",
        ),
        (
            "INSERT INTO plain VALUES (1, 'x') RETURNING random(), now()",
            "INSERT INTO plain VALUES (1, 'x') RETURNING random(), {now()}",
        ),
        ("INSERT INTO plain (a) VALUES (\"current_date\")", "kept"),
        ("INSERT INTO plain VALUES (lo_create(0), 'x')", "refused: …lo_create()"),
    ]);
}

#[test]
fn columns_without_a_value_get_that_of_their_default() {
    let id = "{nextval('public.t_id_seq'::regclass)}!";
    let whole =
        format!("INSERT INTO t (a, \"id\", \"made\") VALUES (1, {id}, {{now()}}), (2, {id}, {{now()}})");
    let all = format!("INSERT INTO t (\"id\", \"made\") VALUES ({id}, {{now()}})");
    let default = format!("INSERT INTO t VALUES ({id}, 1, {{now()}}, DEFAULT)");
    let behind = format!("INSERT INTO t AS x (\"id\", \"a\", \"made\") VALUES ({id}, 1, {{now()}})");
    check(&[
        ("INSERT INTO t (a) VALUES (1), (2)", &whole),
        ("INSERT INTO t DEFAULT VALUES", &all),
        ("INSERT INTO t VALUES (DEFAULT, 1, DEFAULT, DEFAULT)", &default),
        ("INSERT INTO t AS x VALUES (DEFAULT, 1)", &behind),
        (
            "INSERT INTO r (a) VALUES (1), (2)",
            "INSERT INTO r (a, \"r\") VALUES (1, {random()}!), (2, {random()}!)",
        ),
        (
            "INSERT INTO m (a) VALUES (1) ON CONFLICT (a) DO NOTHING",
            "INSERT INTO m (a, \"made\") VALUES (1, {CURRENT_DATE}) ON CONFLICT (a) DO NOTHING",
        ),
        ("INSERT INTO t (id, a, made) VALUES (1, 2, NULL)", "kept"),
        ("INSERT INTO t VALUES (1, 2, NULL), (1)", "kept"),
        ("INSERT INTO nosuch VALUES (1)", "kept"),
        ("INSERT INTO one.twice (a) VALUES (1)", "kept"),
        (
            "INSERT INTO two.twice (a) VALUES (1)",
            "INSERT INTO two.twice (a, \"b\") VALUES (1, {CURRENT_DATE})",
        ),
        ("INSERT INTO twice (a) VALUES (1)", "refused: …several schemas"),
    ]);
}

#[test]
fn identity_columns_take_the_next_of_their_sequence() {
    let next = "{pg_catalog.nextval('public.i_id_seq'::pg_catalog.regclass)}!";
    let by_default = format!("INSERT INTO i (a, \"id\") VALUES (1, {next})");
    let always = format!("INSERT INTO always (a, \"id\") OVERRIDING SYSTEM VALUE VALUES (1, {next})");
    let keyword = format!("INSERT INTO always OVERRIDING SYSTEM VALUE VALUES ({next}, 1)");
    let overriding = format!("INSERT INTO always (a, \"id\") OVERRIDING SYSTEM VALUE VALUES (1, {next})");
    check(&[
        ("INSERT INTO i (a) VALUES (1)", &by_default),
        ("INSERT INTO always (a) VALUES (1)", &always),
        ("INSERT INTO always VALUES (DEFAULT, 1)", &keyword),
        ("INSERT INTO always (a) OVERRIDING SYSTEM VALUE VALUES (1)", &overriding),
        ("INSERT INTO always VALUES (7, 1)", "kept"),
        ("INSERT INTO i OVERRIDING USER VALUE VALUES (7, 1)", "refused: …column \"id\""),
    ]);
}

#[test]
fn a_conflict_is_resolved_once_if_there_is_one_row() {
    check(&[
        (
            "INSERT INTO plain VALUES (1, 'x') ON CONFLICT (a) DO UPDATE SET b = random()",
            "INSERT INTO plain VALUES (1, 'x') ON CONFLICT (a) DO UPDATE SET b = {random()}",
        ),
        (
            "INSERT INTO plain VALUES (1, 'x'), (2, 'y') ON CONFLICT (a) DO UPDATE SET b = random()",
            "refused: …random()",
        ),
        (
            "INSERT INTO plain VALUES (1, 'x'), (2, 'y') ON CONFLICT (a) DO UPDATE SET b = now()",
            "INSERT INTO plain VALUES (1, 'x'), (2, 'y') ON CONFLICT (a) DO UPDATE SET b = {now()}",
        ),
        (
            "INSERT INTO m VALUES (1, NULL) ON CONFLICT (a) DO UPDATE SET made = DEFAULT",
            "INSERT INTO m VALUES (1, NULL) ON CONFLICT (a) DO UPDATE SET made = {CURRENT_DATE}",
        ),
        (
            "INSERT INTO plain VALUES (1, 'x') ON CONFLICT (a) DO UPDATE SET b = volatile_one(excluded.b)",
            "refused: …volatile_one()",
        ),
    ]);
}

#[test]
fn a_query_gives_many_rows() {
    check(&[
        ("INSERT INTO plain SELECT a, b FROM t", "kept"),
        ("INSERT INTO plain SELECT a, now() FROM t", "INSERT INTO plain SELECT a, {now()} FROM t"),
        ("INSERT INTO plain SELECT a, random() FROM t", "refused: …random()"),
        ("INSERT INTO plain SELECT nextval('s'), b FROM t", "refused: …nextval()"),
        ("INSERT INTO plain SELECT 1, random()", "INSERT INTO plain SELECT 1, {random()}"),
        ("INSERT INTO plain SELECT generate_series(1, 2), random()", "refused: …random()"),
        (
            "INSERT INTO m (a) SELECT a FROM plain",
            "INSERT INTO m (a, \"made\") SELECT a, {CURRENT_DATE} FROM plain",
        ),
        (
            "INSERT INTO m SELECT a FROM plain",
            "INSERT INTO m (\"a\", \"made\") SELECT a, {CURRENT_DATE} FROM plain",
        ),
        ("INSERT INTO m (a) SELECT a IS DISTINCT FROM 1 FROM plain UNION ALL (SELECT 1)", "refused: …made"),
        (
            "INSERT INTO m (a) SELECT 1 UNION SELECT a IS DISTINCT FROM 2 FROM plain",
            "INSERT INTO m (a, \"made\") SELECT 1, {CURRENT_DATE} UNION SELECT a IS DISTINCT FROM 2, {CURRENT_DATE} FROM plain",
        ),
        (
            "INSERT INTO m (a) WITH x AS (SELECT 1) SELECT * FROM x",
            "INSERT INTO m (a, \"made\") WITH x AS (SELECT 1) SELECT *, {CURRENT_DATE} FROM x",
        ),
        (
            "INSERT INTO m (a) (SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM m))",
            "INSERT INTO m (a, \"made\") (SELECT 1, {CURRENT_DATE} WHERE NOT EXISTS (SELECT 1 FROM m))",
        ),
        ("INSERT INTO m SELECT * FROM plain", "refused: …made"),
        ("INSERT INTO r (a) SELECT a FROM plain", "refused: …random()"),
        ("INSERT INTO r (a) SELECT 1", "INSERT INTO r (a, \"r\") SELECT 1, {random()}!"),
        ("INSERT INTO i (a) SELECT a FROM plain", "refused: …column \"id\""),
        ("INSERT INTO i (a) SELECT a FROM plain ORDER BY a", "kept"),
        ("INSERT INTO plain VALUES (1, random()) ORDER BY 1", "refused: …random()"),
        (
            "WITH x AS (SELECT 1) INSERT INTO m (a) VALUES (1)",
            "WITH x AS (SELECT 1) INSERT INTO m (a, \"made\") VALUES (1, {CURRENT_DATE})",
        ),
        (
            "WITH x AS (INSERT INTO m (a) VALUES (random()) RETURNING a) SELECT a, now() FROM x",
            "WITH x AS (INSERT INTO m (a, \"made\") VALUES ({random()}, {CURRENT_DATE}) RETURNING a) SELECT a, {now()} FROM x",
        ),
        ("WITH x AS (SELECT random() AS a) INSERT INTO plain SELECT a, 'x' FROM x", "refused: …random()"),
    ]);
}

#[test]
fn what_operators_allow_diverges() {
    let random = "refused: each server would store another value of random()";
    check_with(
        OnNondeterministic::Allow,
        &[
            (
                "INSERT INTO plain SELECT a, random() FROM t WHERE now() > made",
                "INSERT INTO plain SELECT a, random() FROM t WHERE {now()} > made",
            ),
            ("INSERT INTO r (a) SELECT a FROM plain", "kept"),
            ("INSERT INTO plain VALUES (random(), 'x')", "INSERT INTO plain VALUES ({random()}, 'x')"),
            ("UPDATE plain SET a = volatile_one(now())", "UPDATE plain SET a = volatile_one({now()})"),
        ],
    );
    check_with(
        OnNondeterministic::Reject,
        &[
            ("INSERT INTO plain VALUES (random(), 'x')", random),
            ("INSERT INTO r (a) VALUES (1)", "refused: …random()"),
            (
                "INSERT INTO i (a) VALUES (now())",
                "INSERT INTO i (a, \"id\") VALUES ({now()}, {pg_catalog.nextval('public.i_id_seq'::pg_catalog.regclass)}!)",
            ),
        ],
    );
}
