//! Who comes in, and as whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waypool_plugin_sdk::{Admission, Changes, Error, Gate, Host, Level, Newcomer, Refusal};

use crate::Witness;

/// What becomes of a session.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fate {
    database: Option<String>,
    user: Option<String>,
    parameters: BTreeMap<String, String>,
    /// SQLSTATE, message and hint
    refuse: Option<(String, String, Option<String>)>,
    trap: bool,
}

impl Gate for Witness {
    fn session_start(&mut self, newcomer: &Newcomer, host: &Host) -> Result<Admission, Error> {
        self.count("admitted", host);
        if self.config.log {
            let Newcomer { database, user, application_name, address, tls } = newcomer;
            let line = serde_json::json!({
                "database": database, "user": user, "application_name": application_name,
                "address": address, "tls": tls,
            });
            host.log(Level::Info, &format!("newcomer {line}"));
        }
        let Some(fate) = self.config.sessions.get(&newcomer.user) else {
            return Ok(Admission::Pass);
        };
        if fate.trap {
            panic!("this user makes the witness trap");
        }
        if let Some((sqlstate, message, hint)) = &fate.refuse {
            let refusal = Refusal::new(sqlstate, message);
            return Ok(Refusal { hint: hint.clone(), ..refusal }.into());
        }
        let changes =
            Changes { database: fate.database.clone(), user: fate.user.clone(), ..Changes::default() };
        let parameters = fate.parameters.iter();
        Ok(parameters.fold(changes, |changes, (name, value)| changes.parameter(name, value)).into())
    }
}
