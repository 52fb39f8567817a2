//! Who comes in, and as whom: what the gates say.

use super::route::refused;
use super::{Router, ask};
use crate::plugin::contract::{Admission, Changes, Newcomer, SessionInfo};
use crate::protocol::PgError;

/// A newcomer as the gates leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    pub database: String,
    /// Of its server connections; `None`: its own.
    pub user: Option<String>,
    /// To be added to what it sent.
    pub parameters: Vec<(String, String)>,
}

/// A name with a zero byte cannot be sent.
fn sendable(changes: &Changes) -> bool {
    let names = changes.database.iter().chain(&changes.user);
    let parameters = changes.parameters.iter().flat_map(|(name, value)| [name, value]);
    let named = changes.parameters.iter().all(|(name, _)| !name.is_empty());
    let given = changes.database.iter().chain(&changes.user).all(|name| !name.is_empty());
    named && given && names.chain(parameters).all(|text| !text.contains('\0'))
}

impl Router {
    /// Asks the gates of this session's chain.
    pub fn admit(&mut self, mut newcomer: Newcomer) -> Result<Admitted, PgError> {
        let info = SessionInfo {
            database: newcomer.database.clone(),
            user: newcomer.user.clone(),
            application_name: newcomer.application_name.clone(),
        };
        let mut admitted = Admitted { database: info.database.clone(), user: None, parameters: Vec::new() };
        let plugins = self.plugins.current().clone();
        let chain = plugins.chain(&info);
        if !chain.has_gates() {
            return Ok(admitted);
        }
        let mut refusal = None;
        let asked = plugins.session_start(&chain, &mut newcomer, |newcomer, admission| match admission {
            Admission::Pass => true,
            Admission::Refuse(refused) => {
                refusal = Some(refused);
                false
            }
            Admission::Change(changes) if !sendable(&changes) => {
                tracing::warn!("a gate's changes are ignored: an empty name, or a zero byte in it");
                true
            }
            Admission::Change(changes) => {
                admitted.take(newcomer, changes);
                true
            }
        });
        if let Err(error) = asked {
            // Admitted as it is, or refused.
            ask::on_error(&error)?;
        }
        match refusal {
            Some(refusal) => Err(refused(&refusal)),
            None => Ok(admitted),
        }
    }
}

impl Admitted {
    fn take(&mut self, newcomer: &mut Newcomer, changes: Changes) {
        if let Some(database) = changes.database {
            newcomer.database.clone_from(&database);
            self.database = database;
        }
        if let Some(user) = changes.user {
            newcomer.user.clone_from(&user);
            self.user = Some(user);
        }
        for (name, value) in changes.parameters {
            if name == "application_name" {
                newcomer.application_name.clone_from(&value);
            }
            self.parameters.retain(|(known, _)| *known != name);
            self.parameters.push((name, value));
        }
    }
}
