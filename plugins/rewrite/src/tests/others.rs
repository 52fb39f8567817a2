use super::*;

#[test]
fn for_each_row_only_what_is_the_same_for_all_is_put_in() {
    check(&[
        ("UPDATE plain SET b = 'x' WHERE a = 1", "kept"),
        ("UPDATE plain SET b = now(), a = a + 1", "UPDATE plain SET b = {now()}, a = a + 1"),
        ("UPDATE plain SET b = statement_timestamp()", "UPDATE plain SET b = {statement_timestamp()}"),
        ("UPDATE plain SET b = random()", "refused: each server would store another value of random()"),
        ("UPDATE plain SET b = clock_timestamp()", "refused: …clock_timestamp()"),
        ("UPDATE plain SET a = volatile_one(a)", "refused: …volatile_one()"),
        ("UPDATE plain SET b = lower(b)", "kept"),
        ("UPDATE plain SET b = age(x)", "refused: …age()"),
        ("UPDATE plain SET b = age(now(), x)", "UPDATE plain SET b = age({now()}, x)"),
        ("DELETE FROM plain WHERE random() < 0.5", "refused: …random()"),
        ("DELETE FROM t WHERE made < CURRENT_DATE - 7", "DELETE FROM t WHERE made < {CURRENT_DATE} - 7"),
        ("DELETE FROM t WHERE made < date 'yesterday'", "DELETE FROM t WHERE made < {date 'yesterday'}"),
        (
            "DELETE FROM t WHERE id = currval('s') RETURNING random()",
            "DELETE FROM t WHERE id = {currval('s')} RETURNING random()",
        ),
        (
            "UPDATE ONLY m SET made = DEFAULT, a = 1 WHERE a = 2",
            "UPDATE ONLY m SET made = {CURRENT_DATE}, a = 1 WHERE a = 2",
        ),
        ("UPDATE m SET (a, made) = (1, DEFAULT)", "UPDATE m SET (a, made) = (1, {CURRENT_DATE})"),
        ("UPDATE r SET r = DEFAULT", "refused: …random()"),
        ("UPDATE plain SET a = DEFAULT", "kept"),
    ]);
}

#[test]
fn a_merge_is_for_each_row() {
    check(&[
        (
            "MERGE INTO m USING plain p ON p.a = m.a WHEN NOT MATCHED THEN INSERT (a) VALUES (p.a) WHEN MATCHED THEN UPDATE SET made = DEFAULT",
            "MERGE INTO m USING plain p ON p.a = m.a WHEN NOT MATCHED THEN INSERT (a, \"made\") VALUES (p.a, {CURRENT_DATE}) WHEN MATCHED THEN UPDATE SET made = {CURRENT_DATE}",
        ),
        (
            "MERGE INTO i USING plain p ON p.a = i.a WHEN NOT MATCHED THEN INSERT (a) VALUES (p.a)",
            "refused: …column \"id\"",
        ),
        ("MERGE INTO plain USING t ON true WHEN MATCHED THEN UPDATE SET b = random()", "refused: …random()"),
        ("MERGE INTO plain USING t ON true WHEN MATCHED THEN DO NOTHING", "kept"),
    ]);
}

#[test]
fn statements_around_others() {
    check(&[
        (
            "PREPARE p (int) AS INSERT INTO m (a) VALUES ($1)",
            "PREPARE p (int) AS INSERT INTO m (a, \"made\") VALUES ($1, {CURRENT_DATE})",
        ),
        ("PREPARE p AS UPDATE plain SET a = random()", "refused: …random()"),
        ("PREPARE p AS SELECT now()", "kept"),
        ("PREPARE p AS DELETE FROM t WHERE made < now(); SELECT 1", "refused: …PREPARE"),
        ("PREPARE TRANSACTION 'now'", "kept"),
        ("CALL volatile_one(now())", "CALL volatile_one({now()})"),
        ("CALL public.volatile_one()", "kept"),
        ("EXECUTE volatile_one (now())", "EXECUTE volatile_one ({now()})"),
        ("EXECUTE p (random(), now())", "EXECUTE p ({random()}, {now()})"),
        ("CALL p(random(), (SELECT max(random()) FROM t))", "refused: …random()"),
        ("EXPLAIN INSERT INTO plain VALUES (now())", "kept"),
        (
            "EXPLAIN ANALYZE VERBOSE INSERT INTO plain VALUES (now(), 'x')",
            "EXPLAIN ANALYZE VERBOSE INSERT INTO plain VALUES ({now()}, 'x')",
        ),
        ("EXPLAIN (ANALYZE, COSTS off) DELETE FROM t WHERE random() < 1", "refused: …random()"),
        (
            "INSERT INTO plain VALUES (now(), ';'); UPDATE plain SET b = 'x'; DELETE FROM t WHERE made < now()",
            "INSERT INTO plain VALUES ({now()}, ';'); UPDATE plain SET b = 'x'; DELETE FROM t WHERE made < {now()}",
        ),
    ]);
}

#[test]
fn queries_whose_rows_are_stored() {
    check(&[
        ("SELECT now(), random() FROM t", "kept"),
        ("SELECT * FROM t FOR UPDATE", "kept"),
        ("SELECT nextval('s')", "kept"),
        ("SELECT volatile_one(now())", "SELECT volatile_one({now()})"),
        ("SELECT volatile_one(random())", "kept"),
        ("SELECT a, now() AS at INTO new FROM t", "SELECT a, {now()} AS at INTO new FROM t"),
        ("SELECT random() INTO new FROM t", "refused: …random()"),
        (
            "CREATE TABLE new AS SELECT now() AS now, a FROM t",
            "CREATE TABLE new AS SELECT {now()} AS now, a FROM t",
        ),
        ("CREATE TEMP TABLE new (a) AS SELECT random()", "CREATE TEMP TABLE new (a) AS SELECT {random()}"),
        ("CREATE TABLE new AS SELECT random() FROM t", "refused: …random()"),
        ("CREATE TABLE new AS EXECUTE p(now())", "CREATE TABLE new AS EXECUTE p({now()})"),
        ("CREATE TABLE new (a timestamptz DEFAULT now(), b int GENERATED ALWAYS AS (1 + 1) STORED)", "kept"),
        ("CREATE MATERIALIZED VIEW v AS SELECT now()", "kept"),
        ("CREATE FUNCTION table_of() RETURNS TABLE (a int) AS 'SELECT now()' LANGUAGE sql", "kept"),
    ]);
}

#[test]
fn copied_rows_have_no_defaults_that_differ() {
    check(&[
        ("COPY m FROM STDIN", "kept"),
        ("COPY m (a) FROM STDIN", "refused: …column \"made\", whose default is CURRENT_DATE"),
        ("COPY m (a, made) FROM STDIN WITH (FORMAT csv)", "kept"),
        ("COPY m FROM STDIN (DEFAULT '\\D')", "refused: …made"),
        ("COPY i (a) FROM STDIN", "kept"),
        ("COPY r (a) FROM STDIN", "refused: …random()"),
        ("COPY m (a) TO STDOUT", "kept"),
        ("COPY (SELECT now()) TO STDOUT", "kept"),
        (
            "COPY (DELETE FROM t WHERE made < now() RETURNING id) TO STDOUT",
            "COPY (DELETE FROM t WHERE made < {now()} RETURNING id) TO STDOUT",
        ),
    ]);
}

#[test]
fn broken_texts_are_postgresqls_business() {
    check(&[
        ("", "kept"),
        ("INSERT INTO", "kept"),
        ("INSERT INTO t", "kept"),
        ("INSERT INTO t (", "kept"),
        ("INSERT INTO t VALUES", "kept"),
        ("INSERT INTO t VALUES (now()", "kept"),
        ("INSERT INTO t VALUES (now()))", "kept"),
        ("UPDATE", "kept"),
        ("UPDATE t SET", "kept"),
        ("UPDATE t SET a", "kept"),
        ("MERGE INTO", "kept"),
        ("WITH", "kept"),
        ("COPY t", "kept"),
        ("CREATE TABLE", "kept"),
        ("EXPLAIN (ANALYZE", "kept"),
        ("PREPARE p", "kept"),
        ("SELECT 'x", "kept"),
        (")", "kept"),
    ]);
}

#[test]
fn rows_that_are_there_get_one_value() {
    check(&[
        (
            "ALTER TABLE t ADD COLUMN c timestamptz DEFAULT now() NOT NULL, ADD d int",
            "ALTER TABLE t ADD COLUMN c timestamptz DEFAULT {now()} NOT NULL, ALTER COLUMN \"c\" SET DEFAULT now(), ADD d int",
        ),
        (
            "ALTER TABLE IF EXISTS ONLY s.t ADD c date DEFAULT CURRENT_DATE",
            "ALTER TABLE IF EXISTS ONLY s.t ADD c date DEFAULT {CURRENT_DATE}, ALTER COLUMN \"c\" SET DEFAULT CURRENT_DATE",
        ),
        ("ALTER TABLE t ADD c date DEFAULT NULL NULL", "kept"),
        ("ALTER TABLE t ADD c int DEFAULT 1, ADD CONSTRAINT x CHECK (made < now())", "kept"),
        ("ALTER TABLE t ALTER c SET DEFAULT now()", "kept"),
        (
            "ALTER TABLE t ALTER c TYPE timestamptz USING now() + c",
            "ALTER TABLE t ALTER c TYPE timestamptz USING {now()} + c",
        ),
        ("ALTER TABLE t ADD c float DEFAULT random()", "refused: …random()"),
        ("ALTER TABLE t ADD c int DEFAULT nextval('s')", "refused: …nextval()"),
        ("ALTER TABLE t ADD c serial, ADD d int", "refused: …column \"c\""),
        ("ALTER TABLE t ADD COLUMN C int GENERATED BY DEFAULT AS IDENTITY", "refused: …column \"c\""),
        ("ALTER TABLE t ADD COLUMN IF NOT EXISTS c date DEFAULT CURRENT_DATE", "refused: …column \"c\""),
        ("ALTER TABLE t ADD", "kept"),
        ("ALTER TABLE t ADD c int DEFAULT", "kept"),
    ]);
}
