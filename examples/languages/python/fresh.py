"""Reads with the comment /* fresh */ go to the primary, so that they see what
has just been written. Everything else is left to the classifiers behind.

Another word than "fresh" can be had: `[plugins.fresh.config] word = "..."`.
"""

import json
import re
from dataclasses import replace

# Made of the contract when the component is built (`componentize-py bindings`
# writes them into a folder, for editors and type checkers).
from componentize_py_types import Err
from wit_world.exports.lifecycle import Description
from wit_world.imports import host
from wit_world.imports.types import (
    Depends,
    Opinion,
    Opinion_Pass,
    Opinion_Refine,
    Servers,
    Verdict,
)

DEFAULT = "fresh"

# Set by `init`, which comes before everything else.
word = DEFAULT
comment = ""

# `TEXT` and not `SHAPE`: comments are folded in shapes, so the answer for SELECT 1
# would be taken for SELECT 2 /* fresh */ as well.
PASS = Opinion_Pass(Depends.TEXT)
REFINE = Opinion_Refine()


# One class for each interface that is exported, its functions in snake case. Of a
# `result<T, string>` the T is returned; the error is raised as `Err("...")`.


class Lifecycle:
    def init(self, config: str) -> None:
        global word, comment
        word = json.loads(config).get("word", DEFAULT)
        if not isinstance(word, str) or not re.fullmatch(r"[0-9A-Za-z_]+", word):
            raise Err(f"word is {json.dumps(word)}; it has to be letters, digits and underscores")
        comment = f"/* {word} */"

    def describe(self) -> Description:
        about = "Reads with a certain comment go to the primary"
        return Description(about, json.dumps({"word": DEFAULT}))

    def self_test(self) -> None:
        if Classifier().classify(f"SELECT 1 {comment}", 0) is not REFINE:
            raise Err(f"a statement with {comment} is not recognised")


class Classifier:
    # `facts` is for those who ask for facts of the catalog.
    def classify(self, text: str, facts: int) -> Opinion:
        return REFINE if comment in text else PASS

    # `verdict` is what the classifiers behind say. Only reads are moved: writes
    # go to the primary anyway, SET and BEGIN have to go everywhere.
    def refine(self, text: str, verdict: Verdict, facts: int) -> Verdict:
        if verdict.servers is not Servers.ANY:
            return verdict
        host.count("reads", 1)
        return replace(
            verdict,
            depends=Depends.TEXT,
            servers=Servers.PRIMARY,
            tags=[*verdict.tags, word],
            reason=f"the comment {comment}",
        )
