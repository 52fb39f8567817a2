//! The contract as a set of lines, from the WIT and from the guide's reference.
//!
//! The reference is the part of the guide from `## Reference` on. In it stand
//!
//! - `### interface NAME`, or `### worlds`,
//! - `#### KIND NAME` (record, variant, enum, flags): a type of the interface,
//! - rows of a table which begin with names in backquotes: its fields or cases,
//!   or worlds,
//! - points of a list which begin with a signature in backquotes: functions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use wit_parser::{Function, Resolve, Type, TypeDefKind, TypeId};

pub fn of_wit(file: &Path) -> BTreeSet<String> {
    let mut resolve = Resolve::default();
    let text = fs::read_to_string(file).unwrap();
    let package = resolve.push_source("waypool.wit", &text).unwrap();
    let package = &resolve.packages[package];
    let mut items: BTreeSet<String> = package.worlds.keys().map(|world| format!("worlds: {world}")).collect();
    for (name, interface) in &package.interfaces {
        let interface = &resolve.interfaces[*interface];
        items.insert(format!("interface {name}"));
        let functions = interface.functions.values().map(|function| signature(&resolve, function));
        items.extend(functions.map(|signature| format!("{name}: {signature}")));
        for (type_name, id) in &interface.types {
            let kind = &resolve.types[*id].kind;
            // Those of other interfaces, by `use`.
            if matches!(kind, TypeDefKind::Type(_)) {
                continue;
            }
            let place = format!("{name}: {} {type_name}", kind.as_str());
            items.extend(members(&resolve, kind).into_iter().map(|member| format!("{place}: {member}")));
            items.insert(place);
        }
    }
    items
}

/// Fields as `name: type`, cases as `name` or `name(type)`.
fn members(resolve: &Resolve, kind: &TypeDefKind) -> Vec<String> {
    let field = |name: &str, of: &Type| format!("{name}: {}", shown(resolve, of));
    match kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|it| field(&it.name, &it.ty)).collect(),
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.name.clone()).collect(),
        TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| flag.name.clone()).collect(),
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            let of = |of: &Type| format!("({})", shown(resolve, of));
            cases
                .map(|case| format!("{}{}", case.name, case.ty.as_ref().map(of).unwrap_or_default()))
                .collect()
        }
        other => {
            panic!("waypool.wit has a {}: describe it in the reference, and read it here", other.as_str())
        }
    }
}

/// `name(parameter: type, …) -> type`
fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters = function.params.iter().map(|it| format!("{}: {}", it.name, shown(resolve, &it.ty)));
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let result = function.result.as_ref().map(|result| format!(" -> {}", shown(resolve, result)));
    format!("{}({parameters}){}", function.name, result.unwrap_or_default())
}

fn shown(resolve: &Resolve, of: &Type) -> String {
    match of {
        Type::Bool => "bool".to_owned(),
        Type::String => "string".to_owned(),
        Type::Id(id) => shown_id(resolve, *id),
        number => format!("{number:?}").to_lowercase(),
    }
}

fn shown_id(resolve: &Resolve, id: TypeId) -> String {
    let found = &resolve.types[id];
    if let Some(name) = &found.name {
        return name.clone();
    }
    let shown = |of: &Type| shown(resolve, of);
    let or_none = |of: &Option<Type>| of.as_ref().map_or_else(|| "_".to_owned(), shown);
    match &found.kind {
        TypeDefKind::Option(of) => format!("option<{}>", shown(of)),
        TypeDefKind::List(of) => format!("list<{}>", shown(of)),
        TypeDefKind::Tuple(of) => {
            format!("tuple<{}>", of.types.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Result(of) => format!("result<{}, {}>", or_none(&of.ok), or_none(&of.err)),
        other => panic!("waypool.wit has a {} without a name", other.as_str()),
    }
}

pub fn of_markdown(guide: &str) -> BTreeSet<String> {
    let (_, reference) = guide.split_once("\n## Reference\n").unwrap();
    let reference = reference.split("\n## ").next().unwrap();
    let mut items = BTreeSet::new();
    let mut interface = String::new();
    // The type whose table comes.
    let mut place = String::new();
    let mut insert = |item: String| {
        assert!(items.insert(item.clone()), "docs/plugins.md describes it twice: {item}");
    };
    let lines: Vec<&str> = reference.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        if let Some(title) = line.strip_prefix("### ") {
            interface = title.replace('`', "").trim_start_matches("interface ").to_owned();
            place.clone_from(&interface);
            if title.starts_with("interface ") {
                insert(format!("interface {interface}"));
            }
        } else if let Some(title) = line.strip_prefix("#### ") {
            place = format!("{interface}: {}", title.replace('`', ""));
            insert(place.clone());
        } else if let Some((names, what)) = line.strip_prefix("| `").and_then(|row| row.split_once("` |")) {
            assert!(what.len() > 4, "docs/plugins.md says nothing of {names} in {place}");
            for name in names.split("`, `") {
                insert(format!("{place}: {name}"));
            }
        } else if let Some((signature, what)) =
            line.strip_prefix("- `").and_then(|point| point.split_once('`'))
        {
            let goes_on = lines.get(number + 1).is_some_and(|next| next.starts_with("  "));
            assert!(what.len() > 10 || goes_on, "docs/plugins.md says nothing of {signature}");
            insert(format!("{interface}: {signature}"));
        }
    }
    items
}
