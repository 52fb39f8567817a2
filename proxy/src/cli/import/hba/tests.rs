use std::path::Path;

use super::{Report, convert};
use crate::cli::import::report::Group;

fn rules(text: &str) -> (Vec<String>, Vec<String>) {
    let mut report = Report::default();
    let rules = convert(text, Path::new("pool_hba.conf"), &mut report);
    let lines = report.lines(Group::Attention).into_iter().map(str::to_owned).collect();
    (rules.into_iter().map(|rule| rule.text).collect(), lines)
}

#[test]
fn rules_that_waypool_knows() {
    let text = "# TYPE  DATABASE  USER  CIDR-ADDRESS  METHOD\n\n\
                local   all         all                               trust\n\
                host    all         all         127.0.0.1/32          md5 # here\n\
                host    app,\"Other Base\"  app  10.0.0.0 255.0.0.0 scram-sha-256\n\
                hostssl all         all         0.0.0.0/0             reject\n";
    let (rules, report) = rules(text);
    assert_eq!(
        rules,
        [
            "local all all trust",
            "host all all 127.0.0.1/32 md5",
            "host    app,\"Other Base\"  app  10.0.0.0 255.0.0.0 scram-sha-256",
            "hostssl all all 0.0.0.0/0 reject",
        ]
    );
    assert!(report.is_empty(), "{report:?}");
}

#[test]
fn an_unknown_method_rejects() {
    let (rules, report) = rules(
        "host all all 10.0.0.0/8 ldap ldapserver=ldap.example.net ldapprefix=\"cn=\"\n\
         host all all 10.0.0.0 255.0.0.0 pam pamservice=pgpool\n\
         hostssl all all all scram-sha-256 clientcert=1\n",
    );
    assert_eq!(
        rules,
        [
            "host all all 10.0.0.0/8 reject",
            "host all all 10.0.0.0 255.0.0.0 reject",
            "hostssl all all all reject"
        ]
    );
    assert_eq!(report.len(), 3);
    assert!(report[0].starts_with("pool_hba.conf line 1: rejects these clients, because method \"ldap\""));
}

#[test]
fn whom_a_rule_is_about_must_be_clear() {
    let (rules, report) = rules("host all all samenet md5\nhost all all db.example.net reject\nnonsense\n");
    assert_eq!(rules, ["host all all samenet md5", "host all all db.example.net reject", "nonsense"]);
    assert!(report[0].starts_with("pool_hba.conf line 1: must be changed by hand: samenet"), "{report:?}");
    assert_eq!(report.len(), 3);
}
