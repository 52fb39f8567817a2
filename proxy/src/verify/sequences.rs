//! Where sequences are. They move as soon as somebody asks them, and not with
//! a commit: no snapshot and no gate holds them. So one that moves is looked at
//! again; what counts is a difference while it stands still.

use super::report::Difference;
use super::rows::differ;
use super::{Failure, Sessions};
use std::collections::BTreeMap;
use std::time::Duration;

const POSITIONS: &str = "SELECT format('%I.%I', schemaname, sequencename), COALESCE(last_value::text, 'not used yet') FROM pg_sequences";
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// By name: where it is on each server.
type Positions = BTreeMap<String, Vec<Option<String>>>;

pub async fn compare(sessions: &mut Sessions) -> Result<Vec<Difference>, Failure> {
    let mut before = look(sessions).await?;
    before.retain(|_, on| differ(on));
    let mut real = Vec::new();
    for _ in 1..LOOKS {
        if before.is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        let mut now = look(sessions).await?;
        now.retain(|name, on| differ(on) && before.contains_key(name));
        let (stand, move_on): (Positions, Positions) =
            now.into_iter().partition(|(name, on)| before.get(name) == Some(on));
        real.extend(stand.into_iter().map(|(name, on)| Difference {
            kind: "sequence".to_owned(),
            name,
            values: on.into_iter().map(|value| value.unwrap_or("missing".to_owned())).collect(),
        }));
        before = move_on;
    }
    Ok(real)
}

async fn look(sessions: &mut Sessions) -> Result<Positions, Failure> {
    let answers = sessions.ask(POSITIONS).await?;
    let servers = answers.len();
    let mut positions = Positions::new();
    for (place, rows) in answers.into_iter().enumerate() {
        for row in rows {
            let [name, value] = <[Option<String>; 2]>::try_from(row).unwrap_or_default();
            let on = positions.entry(name.unwrap_or_default()).or_insert_with(|| vec![None; servers]);
            on[place] = value;
        }
    }
    Ok(positions)
}
