//! `waypool plugin stats`

use super::client;
use super::list::state;
use super::output::{self, count, or_dash, percent, short};
use crate::admin::api::{Example, List, Plugin, Shadow};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// One plugin, with everything [default: all, in short]
    name: Option<String>,
    #[command(flatten)]
    client: client::Options,
}

pub fn stats(options: &Options) -> anyhow::Result<()> {
    let client = options.client.client()?;
    let Some(name) = &options.name else {
        let list: List = client.get("/v1/plugins")?;
        if options.client.json {
            return output::json(&list.plugins);
        }
        all(&list.plugins);
        return Ok(());
    };
    let plugin: Plugin = client.get(&format!("/v1/plugins/{name}/stats"))?;
    if options.client.json {
        return output::json(&plugin);
    }
    one(&plugin);
    Ok(())
}

fn all(plugins: &[Plugin]) {
    let rows: Vec<_> = plugins
        .iter()
        .map(|plugin| {
            let shadow = plugin.shadow.as_ref().map(|shadow| {
                let Shadow { asked, differed, failed, .. } = shadow;
                format!("{} asked, {} differ, {} failed", count(*asked), count(*differed), count(*failed))
            });
            vec![
                plugin.name.clone(),
                count(plugin.counts.calls),
                or_dash(failures(plugin)),
                count(plugin.counts.overruled),
                or_dash(own(plugin).join(", ")),
                or_dash(shadow.unwrap_or_default()),
            ]
        })
        .collect();
    output::table(&["NAME", "CALLS", "FAILED", "OVERRULED", "ITS OWN COUNTERS", "SHADOW"], &rows);
}

fn one(plugin: &Plugin) {
    let limits = &plugin.limits;
    let since = plugin.since.map(|since| format!(", since generation {since}")).unwrap_or_default();
    let mut facts = vec![
        ("name", plugin.name.clone()),
        ("state", format!("{}{since}", state(plugin.state))),
        ("roles", plugin.roles.join(", ")),
        ("from", plugin.origin.clone()),
        ("sha256", plugin.sha256.clone()),
        ("limits", format!("{}, {}, on_error {}", limits.deadline, limits.memory_limit, limits.on_error)),
    ];
    for (name, only) in [
        ("databases", &limits.databases),
        ("users", &limits.users),
        ("applications", &limits.application_names),
    ] {
        if !only.is_empty() {
            facts.push((name, only.join(", ")));
        }
    }
    for (name, version) in [("candidate", &plugin.candidate), ("earlier", &plugin.earlier)] {
        facts.extend(version.clone().map(|version| (name, version)));
    }
    facts.push(("calls", count(plugin.counts.calls)));
    facts.push(("failed", or_dash(failures(plugin))));
    facts.push(("overruled", count(plugin.counts.overruled)));
    facts.push(("log lines dropped", count(plugin.counts.lines_dropped)));
    facts.push(("its own", or_dash(own(plugin).join("\n"))));
    output::facts(&facts);
    if let Some(shadow) = &plugin.shadow {
        println!();
        tell_shadow(shadow);
    }
}

fn failures(plugin: &Plugin) -> String {
    let failures = plugin.counts.failures.iter().filter(|(_, count)| **count > 0);
    failures.map(|(what, number)| format!("{} {what}", count(*number))).collect::<Vec<_>>().join(", ")
}

/// The plugin's own counters and gauges.
fn own(plugin: &Plugin) -> Vec<String> {
    let counters = plugin.counts.counters.iter().map(|(name, number)| format!("{name} {}", count(*number)));
    let gauges = plugin.counts.gauges.iter().map(|(name, value)| format!("{name} {value}"));
    counters.chain(gauges).collect()
}

fn tell_shadow(shadow: &Shadow) {
    let share = |part: u64| match shadow.asked {
        0 => String::new(),
        asked => format!(" ({:.2}%)", part as f64 * 100.0 / asked as f64),
    };
    output::facts(&[
        ("shadow", format!("{}, for {} of the calls", short(&shadow.sha256), percent(shadow.share))),
        ("asked", count(shadow.asked)),
        ("differed", format!("{}{}", count(shadow.differed), share(shadow.differed))),
        ("failed", format!("{}{}", count(shadow.failed), share(shadow.failed))),
    ]);
    for Example { call, statement, live, shadow } in &shadow.examples {
        println!();
        output::facts(&[
            ("call", call.clone()),
            ("statement", statement.clone()),
            ("in use", live.clone()),
            ("shadow", shadow.clone()),
        ]);
    }
}
