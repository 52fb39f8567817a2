//! house_rules: statements edited on their way.

use waypool_tests::raw::{Raw, sqlstate, tags};
use waypool_tests::{Proxy, wire};

use crate::servers::{WAYS, servers, stop, with};

const CONFIG: &str = "
    conditions = { orders = \"tenant = current_user\" }
    renames = { customers = \"clients\" }
    limit = 2
    ";

fn proxy(config: &str) -> Proxy {
    with(&servers(), "house_rules", config, [0.0, 1.0, 1.0]).start()
}

#[test]
fn a_condition_a_new_name_and_a_limit() {
    let proxy = proxy(CONFIG);
    let mut acme = Raw::login_with(&proxy, &[("user", "acme"), ("database", "postgres")]);
    let mut globex = Raw::login_with(&proxy, &[("user", "globex"), ("database", "postgres")]);
    for way in WAYS {
        for (sql, of_acme, of_globex) in [
            ("SELECT count(*) FROM orders", "2", "1"),
            ("SELECT count(*) FROM orders o WHERE o.id = 3 OR true", "2", "1"),
            ("SELECT max(o.id) FROM customers c JOIN orders AS o ON o.id < c.id -- all", "2", "3"),
            ("SELECT customers.id FROM customers", "7", "7"),
        ] {
            assert_eq!(way.value(&mut acme, sql), of_acme, "{way:?}: {sql}");
            assert_eq!(way.value(&mut globex, sql), of_globex, "{way:?}: {sql}");
        }
        let rows = way.ask(&mut acme, "SELECT * FROM generate_series(1, 10) AS n;");
        assert_eq!(tags(&rows).matches('D').count(), 2);
        let rows = way.ask(&mut acme, "SELECT * FROM generate_series(1, 10) AS n LIMIT 5");
        assert_eq!(tags(&rows).matches('D').count(), 5);
        // Targets of writes are renamed, too.
        way.ask(&mut acme, "BEGIN");
        assert_eq!(sqlstate(&way.ask(&mut acme, "INSERT INTO customers (id) VALUES (8)")), None);
        assert_eq!(way.value(&mut acme, "SELECT max(id) FROM customers"), "8");
        assert_eq!(sqlstate(&way.ask(&mut acme, "DELETE FROM customers WHERE customers.id = 8")), None);
        way.ask(&mut acme, "ROLLBACK");
    }
    stop(&proxy);
}

#[test]
fn parameters_stay_where_they_are() {
    let proxy = proxy(CONFIG);
    let mut session = Raw::login_with(&proxy, &[("user", "acme"), ("database", "postgres")]);
    let sql = "SELECT o.id FROM orders AS o WHERE o.id >= $1::int AND o.tenant = $2 ORDER BY o.id DESC";
    session.send(&[wire::parse("some", sql), wire::describe(b'S', "some"), wire::sync()].concat());
    assert_eq!(sqlstate(&session.wire.until_ready()), None);
    for (from, rows) in [("1", 2), ("2", 1), ("3", 0)] {
        session.send(&[wire::bind("", "some", &[from, "acme"]), wire::execute("", 0), wire::sync()].concat());
        assert_eq!(tags(&session.wire.until_ready()).matches('D').count(), rows);
    }
    // Another's rows cannot be asked for.
    session.send(&[wire::bind("", "some", &["1", "globex"]), wire::execute("", 0), wire::sync()].concat());
    assert_eq!(tags(&session.wire.until_ready()).matches('D').count(), 0);
    stop(&proxy);
}

/// Where no edit is certain to be right.
const UNSURE: [&str; 4] = [
    "SELECT count(*) FROM clients WHERE id IN (SELECT id FROM orders)",
    "WITH o AS (SELECT * FROM orders) SELECT count(*) FROM o",
    "SELECT 1 FROM clients UNION SELECT id FROM orders",
    "TABLE orders",
];

#[test]
fn where_it_is_not_sure_it_refuses_or_keeps() {
    let careful = proxy(CONFIG);
    let generous = proxy(&format!("{CONFIG}\notherwise = \"keep\""));
    let mut refused = Raw::login(&careful);
    let mut kept = Raw::login(&generous);
    for way in WAYS {
        for sql in UNSURE {
            let [code, message, _] = way.error(&mut refused, sql);
            assert_eq!(
                (code.as_str(), message.as_str()),
                ("0A000", "table orders cannot be used in this way here")
            );
            assert_eq!(sqlstate(&way.ask(&mut kept, sql)), None);
        }
        assert_eq!(way.value(&mut refused, "SELECT 42"), "42");
    }
    [careful, generous].iter().for_each(stop);
}
