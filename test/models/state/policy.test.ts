/** How a policy is written down, and what is said when it is written wrongly. */
import { describe, expect, test } from "vitest";
import { protectedBy } from "../../../models/cache/policy.ts";
import { POLICIES, parsePolicy } from "../../../models/index.ts";
import { complaint } from "../formats/temporary.ts";

describe("policies as text", () => {
  test.each([
    { text: "full", name: "full", slots: undefined, options: {} },
    { text: "full:512", name: "full", slots: 512, options: {} },
    { text: "window:64", name: "window", slots: 64, options: { first: 0 } },
    { text: "window:64,first=4", name: "window", slots: 64, options: { first: 4 } },
    { text: "tova:128", name: "tova", slots: 128, options: { recent: 0, first: 0 } },
    { text: "tova:128,recent=16", name: "tova", slots: 128, options: { recent: 16, first: 0 } },
    { text: "tova:1", name: "tova", slots: 1, options: { recent: 0, first: 0 } },
    { text: "tova: 8, first = 2, recent = 5", name: "tova", slots: 8, options: { recent: 5, first: 2 } },
  ])("$text", ({ text, ...expected }) => {
    expect(parsePolicy(text)).toEqual({ text, policy: POLICIES[expected.name], ...expected });
  });

  test.each([
    ["lru:8", 'unknown state policy "lru" in "lru:8"; there are full, window, tova'],
    ["", 'unknown state policy "" in ""; there are full, window, tova'],
    ["toString", 'unknown state policy "toString" in "toString"; there are full, window, tova'],
    ["tova", 'state "tova": "tova" needs a number of slots, as in tova:128'],
    ["window", 'state "window": "window" needs a number of slots, as in window:128'],
    ["tova:0", 'state "tova:0": the number of slots must be a whole number of at least 1, got "0"'],
    ["full:0", 'state "full:0": the number of slots must be a whole number of at least 1, got "0"'],
    ["tova:", 'state "tova:": the number of slots must be a whole number of at least 1, got ""'],
    ["tova:-3", 'state "tova:-3": the number of slots must be a whole number of at least 1, got "-3"'],
    ["tova:1.5", 'state "tova:1.5": the number of slots must be a whole number of at least 1, got "1.5"'],
    ["tova:many", 'state "tova:many": the number of slots must be a whole number of at least 1, got "many"'],
    ["tova:0x10", 'state "tova:0x10": the number of slots must be a whole number of at least 1, got "0x10"'],
    ["tova:99999999", 'state "tova:99999999": the number of slots must be at most 16777216, got "99999999"'],
    ["tova:8,recent=-1", 'state "tova:8,recent=-1": recent must be a whole number of at least 0, got "-1"'],
    ["tova:8,recent", 'state "tova:8,recent": recent must be a whole number of at least 0, got ""'],
    ["tova:8,sink=1", 'state "tova:8,sink=1": "tova" has no option "sink"; it takes recent, first'],
    [
      "tova:8,constructor=1",
      'state "tova:8,constructor=1": "tova" has no option "constructor"; it takes recent, first',
    ],
    ["window:8,recent=1", 'state "window:8,recent=1": "window" has no option "recent"; it takes first'],
    ["full:8,first=1", 'state "full:8,first=1": "full" has no option "first"; it takes none'],
    ["tova:8,recent=1,recent=2", 'state "tova:8,recent=1,recent=2": recent is given twice'],
    [
      "tova:8,recent=6,first=2",
      'state "tova:8,recent=6,first=2": 8 protected tokens leave nothing to drop in 8 slots; recent and first together must be fewer than the slots',
    ],
    [
      "window:4,first=4",
      'state "window:4,first=4": 4 protected tokens leave nothing to drop in 4 slots; recent and first together must be fewer than the slots',
    ],
  ])("%j is refused", async (text, message) => {
    expect(await complaint(() => parsePolicy(text))).toBe(message);
  });

  test("what each protects of a prompt that is read at once", () => {
    expect(protectedBy(parsePolicy("tova:8"))).toEqual({ recent: 0, first: 0 });
    expect(protectedBy(parsePolicy("tova:8,recent=3,first=2"))).toEqual({ recent: 3, first: 2 });
    expect(protectedBy(parsePolicy("window:8,first=3"))).toEqual({ recent: 5, first: 3 });
  });
});
