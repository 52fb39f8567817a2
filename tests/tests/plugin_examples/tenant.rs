//! tenant: each tenant reads from its own servers.

use waypool_tests::raw::Raw;

use crate::servers::{PORT, WAYS, Way, counted, servers, stop, with};

pub const CONFIG: &str = "groups = { acme = [1], globex = [2] }\ndatabases = { acme_shop = \"acme\" }";

#[test]
fn a_comment_chooses_the_servers_of_reads() {
    let cluster = servers();
    // Without the plugin, everything is read on the primary.
    let proxy = with(&cluster, "tenant", CONFIG, [1.0, 0.0, 0.0]).start();
    let mut session = Raw::login(&proxy);
    for way in WAYS {
        // The second time the answers are in the cache.
        for _ in 0..2 {
            for (sql, server) in [
                ("SELECT inet_server_port() /* tenant=acme */", 1),
                ("SELECT inet_server_port() /*action='buy',tenant='globex'*/", 2),
                ("SELECT inet_server_port() /* tenant=nobody */", 0),
                (PORT, 0),
                ("INSERT INTO things VALUES (1) RETURNING inet_server_port() /* tenant=acme */", 0),
            ] {
                way.is_answered_by(&mut session, sql, cluster.server(server));
            }
        }
    }
    assert_eq!(counted(&proxy, "tenant", "unknown_tenants"), 4.0);
    let told = session.query("SHOW waypool_route FOR SELECT 1 /* tenant=globex */");
    let told: Vec<_> =
        told.iter().filter(|row| row.tag == b'D').flat_map(|row| row.columns()).flatten().collect();
    assert!(told.contains(&"tenant globex reads from its own servers".to_owned()), "{told:?}");
    assert!(told.contains(&"tenant=globex".to_owned()), "{told:?}");
    stop(&proxy);
}

#[test]
fn comments_before_the_first_word_do_it_by_shape() {
    let cluster = servers();
    let config = format!("{CONFIG}\ncomments = \"leading\"");
    let proxy = with(&cluster, "tenant", &config, [1.0, 0.0, 0.0])
        .plugin("classify", "allow_sql_comments = true")
        .start();
    let mut session = Raw::login(&proxy);
    for (sql, server) in [
        ("/* tenant=acme */ SELECT inet_server_port() + 0 * 1", 1),
        ("/* tenant=acme */ SELECT inet_server_port() + 0 * 2", 1),
        ("/* tenant=globex */ SELECT inet_server_port() + 0 * 3", 2),
        ("SELECT inet_server_port() + 0 * 4", 0),
        ("SELECT inet_server_port() + 0 * 5 /* tenant=acme */", 0),
    ] {
        Way::Simple.is_answered_by(&mut session, sql, cluster.server(server));
    }
    stop(&proxy);
}

#[test]
fn a_database_chooses_them_for_transactions_too() {
    let cluster = servers();
    let proxy = with(&cluster, "tenant", CONFIG, [1.0, 0.0, 0.0]).start();
    let mut session = Raw::login_with(&proxy, &[("database", "acme_shop")]);
    let [primary, acme, globex] = [0, 1, 2].map(|id| cluster.server(id));
    for way in WAYS {
        way.is_answered_by(&mut session, PORT, acme);
        way.is_answered_by(&mut session, "SELECT inet_server_port() /* tenant=globex */", globex);
        way.ask(&mut session, "BEGIN");
        way.is_answered_by(&mut session, PORT, acme);
        way.ask(&mut session, "CREATE TABLE t (n int)");
        // It has written: it reads what it wrote.
        way.is_answered_by(
            &mut session,
            "SELECT inet_server_port() FROM (SELECT count(*) FROM t) AS n",
            primary,
        );
        way.ask(&mut session, "ROLLBACK");
        way.is_answered_by(&mut session, PORT, acme);
    }
    stop(&proxy);
}
