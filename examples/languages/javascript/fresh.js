// Reads with the comment /* fresh */ go to the primary, so that they see what
// has just been written. Everything else is left to the classifiers behind.
//
// Another word than "fresh" can be had: `[plugins.fresh.config] word = "..."`.

import * as host from "waypool:plugin/host@0.1.0";

const DEFAULT = "fresh";

// Set by `init`, which comes before everything else.
let word = DEFAULT;
let comment = "";

// One object for each interface that is exported, its functions in camel case.
// Of a `result<T, string>` the T is returned; the error is a string, thrown.

export const lifecycle = {
  init(config) {
    word = JSON.parse(config).word ?? DEFAULT;
    if (typeof word !== "string" || !/^\w+$/.test(word)) {
      throw `word is ${JSON.stringify(word)}; it has to be letters, digits and underscores`;
    }
    comment = `/* ${word} */`;
  },

  describe() {
    return {
      about: "Reads with a certain comment go to the primary",
      config: JSON.stringify({ word: DEFAULT }),
    };
  },

  selfTest() {
    const { tag } = classifier.classify(`SELECT 1 ${comment}`);
    if (tag !== "refine") throw `a statement with ${comment} is not recognised`;
  },
};

export const classifier = {
  // `text` and not `shape`: comments are folded in shapes, so the answer for
  // SELECT 1 would be taken for SELECT 2 /* fresh */ as well. (Behind `text` comes
  // `facts`, for those who ask for facts of the catalog.)
  classify(text) {
    return text.includes(comment) ? { tag: "refine" } : { tag: "pass", val: "text" };
  },

  // `verdict` is what the classifiers behind say. Only reads are moved: writes
  // go to the primary anyway, SET and BEGIN have to go everywhere.
  refine(_text, verdict) {
    if (verdict.servers !== "any") return verdict;
    host.count("reads", 1);
    return {
      ...verdict,
      depends: "text",
      servers: "primary",
      tags: [...verdict.tags, word],
      reason: `the comment ${comment}`,
    };
  },
};
