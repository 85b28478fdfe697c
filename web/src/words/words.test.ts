import { describe, expect, it } from "vitest";
import { en } from "./en";
import { zh } from "./zh";

/** Every path of a dictionary with what stands there. */
function paths(node: object, at = ""): Map<string, unknown> {
  return new Map(
    Object.entries(node).flatMap(([name, value]: [string, unknown]) =>
      typeof value === "object" && value !== null
        ? [...paths(value, `${at}${name}.`)]
        : [[`${at}${name}`, value] as const],
    ),
  );
}

describe("the dictionaries", () => {
  it("say the same things, down to every kind, reason and period", () => {
    expect([...paths(zh).keys()].sort()).toEqual([...paths(en).keys()].sort());
  });

  it("leave nothing empty", () => {
    for (const dictionary of [en, zh]) {
      for (const [path, value] of paths(dictionary)) {
        if (typeof value === "string") expect(value, path).not.toBe("");
      }
    }
  });

  it("speak Chinese in the Chinese one", () => {
    const latin = [...paths(zh)].filter(([, value]) => typeof value === "string" && !/\p{Script=Han}/u.test(value));
    expect(latin.map(([path]) => path)).toEqual(["otherLanguage", "otherLanguageCode", "today.axis"]);
  });

  it("count one thing as one", () => {
    expect(en.home.daysLeft(1)).toBe("about 1 day left");
    expect(en.home.daysLeft(9)).toBe("about 9 days left");
    expect(en.home.daysLeft(0)).toBe("less than a day left");
  });
});
