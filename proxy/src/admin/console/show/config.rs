//! `SHOW CONFIG`: the keys at the top of waypool.toml.

use super::super::table::{Table, text};
use crate::proxy::Proxy;

pub(super) fn config(proxy: &Proxy) -> Table {
    let mut table = Table::new(&[text("key"), text("value"), text("default"), text("changeable")]);
    for setting in proxy.config().settings() {
        let changeable = if setting.reloadable { "yes" } else { "no" };
        table.rows.push(vec![
            setting.key.into(),
            setting.value.into(),
            setting.default.into(),
            changeable.into(),
        ]);
    }
    table
}
