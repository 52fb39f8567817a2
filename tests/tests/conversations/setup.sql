CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, at timestamptz, amount numeric(12, 2));
INSERT INTO t SELECT n, 'name' || n, '2024-02-29 12:00:00+00'::timestamptz + n * interval '1 day', n * 1.5
FROM generate_series(1, 20) AS n;
CREATE TABLE c (n int CHECK (n < 100), text text);
CREATE TABLE u (n int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
CREATE TYPE mood AS ENUM ('sad', 'fine', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE moods (mood mood, pair pair, list int[]);
INSERT INTO moods VALUES ('fine', (1, 'x'), '{1,NULL,3}');
CREATE FUNCTION notify_me(level text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RAISE NOTICE 'a notice of %', level USING DETAIL = 'a detail', HINT = 'a hint', ERRCODE = '01ABC';
    RAISE WARNING 'a warning';
    RETURN level;
END $$;
CREATE FUNCTION tell_me(what text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RAISE NOTICE 'told %', what;
    RETURN what;
END $$;
CREATE FUNCTION fail_at(n int, last int) RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF n = last THEN
        RAISE EXCEPTION 'failed at %', n USING DETAIL = 'as told', HINT = 'go on', TABLE = 't', COLUMN = 'id';
    END IF;
    RETURN n;
END $$;
CREATE PROCEDURE commit_within() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO c VALUES (50, 'within');
    COMMIT;
    INSERT INTO c VALUES (51, 'lost');
    ROLLBACK;
END $$;
