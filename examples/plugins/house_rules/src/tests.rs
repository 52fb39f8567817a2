#![allow(clippy::unwrap_used)]

use super::*;
use waypool_plugin_sdk::Value;
use waypool_plugin_sdk::testing::FakeHost;

fn plugin(change: impl FnOnce(&mut Config)) -> HouseRules {
    let mut config = Config::default();
    change(&mut config);
    HouseRules::new(config).unwrap()
}

/// Orders are shown to their tenant; `customers` is called `clients` now.
fn rules(config: &mut Config) {
    config.conditions = [("orders".to_owned(), "tenant = current_user".to_owned())].into();
    config.renames = [("customers".to_owned(), "clients".to_owned())].into();
}

/// The text as it is sent; the error's message if it is refused.
fn rewrite(plugin: &mut HouseRules, text: &str) -> String {
    let edits = match plugin.rewrite(text, &FakeHost::new()).unwrap() {
        Plan::Keep(depends) => {
            assert_eq!(depends, Depends::Shape);
            return text.to_owned();
        }
        Plan::Reject(refusal) => return refusal.message,
        Plan::Edit(edits) => edits,
    };
    let mut edited = text.to_owned();
    for edit in edits.into_iter().rev() {
        let Value::Literal(literal) = edit.value else { panic!("{:?}", edit.value) };
        edited.replace_range(edit.start as usize..edit.end as usize, &literal);
    }
    edited
}

/// What `orders` becomes.
const ORDERS: &str = "(SELECT * FROM orders WHERE tenant = current_user)";

#[test]
fn a_condition_on_a_table() {
    let mut plugin = plugin(rules);
    for (text, edited) in [
        ("SELECT * FROM orders", "SELECT * FROM {} AS orders"),
        ("SELECT o.id FROM orders o WHERE o.a = $1 OR true", "SELECT o.id FROM {} o WHERE o.a = $1 OR true"),
        (
            "select 1 from Orders as \"O\", items;",
            "select 1 from (SELECT * FROM Orders WHERE tenant = current_user) as \"O\", items;",
        ),
        (
            "SELECT orders.id FROM items i JOIN orders ON orders.id = i.o LEFT JOIN x USING (a)",
            "SELECT orders.id FROM items i JOIN {} AS orders ON orders.id = i.o LEFT JOIN x USING (a)",
        ),
        (
            "SELECT a IS DISTINCT FROM b FROM orders -- all",
            "SELECT a IS DISTINCT FROM b FROM {} AS orders -- all",
        ),
        (
            "SELECT * FROM public.orders",
            "SELECT * FROM (SELECT * FROM public.orders WHERE tenant = current_user) AS orders",
        ),
        ("SELECT 1 FROM orders FOR UPDATE", "SELECT 1 FROM {} AS orders FOR UPDATE"),
        ("SELECT 'orders' FROM items -- orders", "SELECT 'orders' FROM items -- orders"),
        // Writes are not reads.
        ("INSERT INTO orders (id) VALUES (1)", "INSERT INTO orders (id) VALUES (1)"),
        ("UPDATE orders SET a = 1 WHERE id = 2", "UPDATE orders SET a = 1 WHERE id = 2"),
        ("ALTER TABLE orders ADD a int", "ALTER TABLE orders ADD a int"),
    ] {
        assert_eq!(rewrite(&mut plugin, text), edited.replace("{}", ORDERS), "{text}");
    }
}

#[test]
fn a_new_name() {
    let mut plugin = plugin(rules);
    for (text, edited) in [
        ("SELECT customers.id FROM customers", "SELECT customers.id FROM clients AS customers"),
        ("SELECT c.id FROM shop.customers c", "SELECT c.id FROM shop.clients c"),
        ("INSERT INTO customers VALUES (1)", "INSERT INTO clients AS customers VALUES (1)"),
        ("INSERT INTO customers (id) SELECT 1", "INSERT INTO clients AS customers (id) SELECT 1"),
        ("UPDATE customers c SET a = 1", "UPDATE clients c SET a = 1"),
        (
            "DELETE FROM customers WHERE customers.id = 1",
            "DELETE FROM clients AS customers WHERE customers.id = 1",
        ),
    ] {
        assert_eq!(rewrite(&mut plugin, text), edited, "{text}");
    }
    let mut elsewhere = self::plugin(|config| {
        config.renames = [("customers".to_owned(), "crm.clients".to_owned())].into();
    });
    assert_eq!(
        rewrite(&mut elsewhere, "SELECT 1 FROM shop.customers"),
        "SELECT 1 FROM crm.clients AS customers"
    );
}

/// Texts in which `orders` stands where no edit is certain to be right.
const UNSURE: [&str; 12] = [
    "SELECT * FROM items WHERE id IN (SELECT id FROM orders)",
    "SELECT * FROM (SELECT * FROM orders) AS o",
    "WITH o AS (SELECT * FROM orders) SELECT * FROM o",
    "SELECT 1 FROM items UNION SELECT 1 FROM orders",
    "TABLE orders",
    "(SELECT * FROM orders)",
    "SELECT * FROM ONLY orders",
    "SELECT 1; SELECT * FROM orders",
    "INSERT INTO items SELECT * FROM orders",
    "PREPARE p AS SELECT * FROM orders",
    "COPY orders TO STDOUT",
    "SELECT * INTO copy FROM orders",
];

#[test]
fn where_it_is_not_sure() {
    let (mut careful, mut generous) = (
        plugin(rules),
        plugin(|config| {
            rules(config);
            config.otherwise = Otherwise::Keep;
        }),
    );
    for text in UNSURE {
        assert_eq!(rewrite(&mut careful, text), "table orders cannot be used in this way here", "{text}");
        assert_eq!(rewrite(&mut generous, text), text);
    }
}

#[test]
fn a_limit() {
    let mut plugin = plugin(|config| config.limit = 1000);
    for (text, edited) in [
        ("SELECT * FROM t", "SELECT * FROM t LIMIT 1000"),
        (
            "SELECT * FROM t ORDER BY a OFFSET 5 ; -- all",
            "SELECT * FROM t ORDER BY a OFFSET 5 LIMIT 1000 ; -- all",
        ),
        ("SELECT * FROM (SELECT 1 LIMIT 1) AS s", "SELECT * FROM (SELECT 1 LIMIT 1) AS s LIMIT 1000"),
    ] {
        assert_eq!(rewrite(&mut plugin, text), edited, "{text}");
    }
    for text in [
        "SELECT 1",
        "SELECT * FROM t LIMIT 5",
        "SELECT * FROM t FETCH FIRST ROW ONLY",
        "SELECT * FROM t FOR SHARE",
        "SELECT 1 FROM t UNION SELECT 2",
        "SELECT * INTO copy FROM t",
        "WITH t AS (SELECT 1) SELECT * FROM t",
        "INSERT INTO t SELECT * FROM s",
        "SELECT extract(day FROM now())",
        "",
    ] {
        assert_eq!(rewrite(&mut plugin, text), text);
    }
}

#[test]
fn several_rules_at_once() {
    let mut plugin = plugin(|config| {
        rules(config);
        config.limit = 10;
    });
    let text = "SELECT * FROM customers JOIN orders USING (id);";
    let edited = format!("SELECT * FROM clients AS customers JOIN {ORDERS} AS orders USING (id) LIMIT 10;");
    assert_eq!(rewrite(&mut plugin, text), edited);
}

#[test]
fn mistakes_are_named() {
    let config = Config { renames: [("a".to_owned(), " ".to_owned())].into(), ..Config::default() };
    assert_eq!(HouseRules::new(config).unwrap_err().to_string(), "renames.a is empty: remove the line");
}
