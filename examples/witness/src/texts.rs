//! What is asked about a text.

use waypool_plugin_sdk::{Classifier, Depends, Edit, Error, Host, Opinion, Plan, Refusal, Rewriter, Verdict};

use crate::Witness;
use crate::stamp::Mood;

/// In statements: the version that rewrote them.
const VERSION: &str = "witness_version()";
/// What the proxy tries each plugin out with.
const PROBE: &str = "SELECT 1";

impl Classifier for Witness {
    fn classify(&mut self, text: &str, _host: &Host) -> Result<Opinion, Error> {
        if self.mood == Mood::Fragile && text != PROBE {
            panic!("this version is fragile");
        }
        Ok(Opinion::Refine)
    }

    fn refine(&mut self, _text: &str, verdict: Verdict, host: &Host) -> Result<Verdict, Error> {
        self.count("classified", host);
        Ok(verdict.tagged([self.name.as_str()]))
    }
}

impl Rewriter for Witness {
    fn rewrite(&mut self, text: &str, _host: &Host) -> Result<Plan, Error> {
        if self.config.refuse.as_ref().is_some_and(|words| text.starts_with(words)) {
            return Ok(Refusal::new("42501", "the witness refuses this").into());
        }
        let found = text.match_indices(VERSION);
        let edits: Vec<_> =
            found.map(|(at, _)| Edit::replace(at..at + VERSION.len(), format!("'{}'", self.name))).collect();
        // Whether it is there does not change with a literal or a comment,
        // unless it stands in one.
        Ok(if edits.is_empty() { Plan::Keep(Depends::Shape) } else { Plan::Edit(edits) })
    }
}
