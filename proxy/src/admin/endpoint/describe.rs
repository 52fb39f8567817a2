//! What the host knows of plugins, as it is told.

use std::collections::BTreeMap;

use crate::admin::api;
use crate::config::{self, OnError, show_duration, show_size};
use crate::plugin::{Change, Counts, Own, PluginInfo, ShadowInfo, State};

pub(super) fn plugin(info: PluginInfo) -> api::Plugin {
    let (state, since) = match info.state {
        State::Active(since) => (api::State::Active, Some(since)),
        State::Disabled => (api::State::Disabled, None),
        State::New => (api::State::New, None),
    };
    api::Plugin {
        name: info.source.name().to_owned(),
        roles: info.roles.iter().map(|role| role.to_string()).collect(),
        state,
        since,
        sha256: info.sha256,
        origin: info.source.origin.to_string(),
        configured: info.source.entry.path.as_ref().map(|path| path.display().to_string()),
        limits: limits(&info.source.entry),
        candidate: info.candidate,
        earlier: info.earlier,
        counts: counts(info.counts),
        shadow: info.shadow.map(shadow),
    }
}

fn limits(entry: &config::Plugin) -> api::Limits {
    let patterns = |patterns: &Option<Vec<config::Pattern>>| {
        patterns.iter().flatten().map(config::Pattern::to_string).collect()
    };
    api::Limits {
        deadline: show_duration(entry.deadline),
        memory_limit: show_size(entry.memory_limit as u64),
        on_error: match entry.on_error {
            OnError::Primary => "primary".to_owned(),
            OnError::Reject => "reject".to_owned(),
        },
        databases: patterns(&entry.databases),
        users: patterns(&entry.users),
        application_names: patterns(&entry.application_names),
    }
}

fn counts(counts: Counts) -> api::Counts {
    let failures = [
        ("trap", counts.traps),
        ("deadline", counts.deadlines),
        ("memory", counts.memory),
        ("malformed answer", counts.malformed),
        ("start", counts.starts),
        ("error", counts.errors),
    ];
    let (mut counters, mut gauges) = (BTreeMap::new(), BTreeMap::new());
    for (name, own) in counts.own {
        match own {
            Own::Counter(count) => drop(counters.insert(name, count)),
            Own::Gauge(value) => drop(gauges.insert(name, value)),
        }
    }
    api::Counts {
        calls: counts.calls,
        failures: failures.into_iter().map(|(what, count)| (what.to_owned(), count)).collect(),
        overruled: counts.overruled,
        lines_dropped: counts.lines_dropped,
        counters,
        gauges,
    }
}

fn shadow(info: ShadowInfo) -> api::Shadow {
    let examples = info.examples.into_iter().map(|example| api::Example {
        call: example.call.to_owned(),
        statement: example.statement,
        live: example.live,
        shadow: example.shadow,
    });
    api::Shadow {
        sha256: info.sha256,
        share: info.share,
        asked: info.asked,
        differed: info.differed,
        failed: info.failed,
        examples: examples.collect(),
    }
}

pub(super) fn change(change: Change) -> api::Change {
    api::Change {
        generation: change.generation,
        plugin: change.plugin.to_string(),
        action: change.action.to_string(),
        sha256: change.sha256,
        when: humantime::format_rfc3339_seconds(change.when).to_string(),
        who: change.by.who,
        why: change.by.why,
    }
}
