import { describe, expect, it, vi } from "vitest";
import { openDevice } from "../../runtime/device/device.ts";
import { Pace } from "../../runtime/device/pace.ts";
import { patiently, settle } from "../../runtime/device/wait.ts";
import { adaptersUnderTest, withDevice } from "../support/gpu.ts";

describe("the pace of a wait", () => {
  it("rests nine tenths of work that always takes the same time", () => {
    const pace = new Pace();
    expect(pace.rest()).toBe(0);
    for (let i = 0; i < 10; i++) {
      pace.observe(20, i === 0 ? 300 : 30);
      expect(pace.rest()).toBeCloseTo(18);
    }
  });

  it("comes down geometrically when the work got shorter, and up once it was longer three times", () => {
    const pace = new Pace();
    pace.observe(100, 50);
    for (let i = 0; i < 15; i++) pace.observe(Math.max(pace.rest(), 1), pace.rest() > 1 ? 0 : 5);
    expect(pace.rest()).toBeLessThan(1);
    for (const rest of [0, 0, 18]) {
      pace.observe(20, 90);
      expect(pace.rest()).toBeLessThan(rest + 1);
    }
    expect(pace.rest()).toBeCloseTo(18);
  });

  it("does not sleep longer because one wait was long", () => {
    const pace = new Pace();
    for (const took of [50, 50, 50, 400, 50]) pace.observe(took, 10);
    expect(pace.rest()).toBeCloseTo(45);
  });

  it("is bounded, so that a first time spent on compiling does not hold up the next", () => {
    const pace = new Pace();
    for (const most of [25, 25, 400]) {
      pace.observe(3000, 2000);
      expect(pace.rest()).toBe(most);
    }
  });

  it("polls in steps that stay small against the wait, and less often while other work keeps the adapter busy", () => {
    const steps = (pace: Pace): number[] => [0, 20, 10_000].map((waited) => Number(pace.step(waited).toFixed(6)));
    expect(steps(new Pace())).toEqual([0.1, 0.4, 1]);
    expect(steps(new Pace("followed"))).toEqual([0.1, 1.6, 4]);
  });

  it("rests all the time that the work took when other work follows, and less after it came too late", () => {
    const pace = new Pace("followed");
    for (let i = 0; i < 5; i++) pace.observe(50, 3);
    expect(pace.rest()).toBeCloseTo(50);
    pace.observe(50, 0);
    expect(pace.rest()).toBeCloseTo(42.5);
  });

  it("knows from some work how long more or less of it takes", () => {
    const pace = new Pace();
    for (const amount of [4, 6, 8]) pace.observe(amount * 10, 3, amount);
    expect(pace.rest(1)).toBeCloseTo(9);
    expect(pace.rest(20)).toBeCloseTo(180);
  });
});

describe.each(adaptersUnderTest())("waiting on %s", (adapter) => {
  it("asks for work of unknown length at once, for known work after a rest, and learns per key", async () => {
    const device = await withDevice(adapter);
    const work = (ms: number): (() => Promise<string>) => {
      const done = performance.now() + ms;
      return () =>
        new Promise((resolve) => {
          const look = (): void => void (performance.now() >= done ? resolve("done") : setImmediate(look));
          look();
        });
    };
    /**
     * What happens first: one turn of the event loop, or the question. That the work gets done shows that the loop
     * turns meanwhile.
     */
    const order = async (key: string): Promise<string[]> => {
      const events: string[] = [];
      setImmediate(() => events.push("the loop turned"));
      const start = work(120);
      const ask = (): Promise<string> => {
        events.push("asked");
        return start();
      };
      expect(await patiently(device, key, ask)).toBe("done");
      return events;
    };
    expect(await order("slow work")).toEqual(["asked", "the loop turned"]);
    expect(device.pace("slow work").rest()).toBe(25);
    expect(device.pace("other work").rest()).toBe(0);
    expect(await order("slow work")).toEqual(["the loop turned", "asked"]);
  });

  it("learns nothing from work in which a driver may have compiled", async () => {
    const device = await withDevice(adapter);
    const observed = vi.spyOn(device.pace("work with a new kernel"), "observe");
    const learnt = async (): Promise<number> => {
      await patiently(device, "work with a new kernel", () => new Promise((done) => setTimeout(done, 5)));
      return observed.mock.calls.length;
    };
    device.pipelines += 2;
    expect([await learnt(), await learnt()]).toEqual([0, 1]);
    device.pipelines++;
    expect([await learnt(), await learnt()]).toEqual([1, 2]);
  });

  it("passes failures on", async () => {
    const device = await withDevice(adapter);
    await expect(patiently(device, "failing", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await Promise.all([settle(device), settle(device), settle(device)]);
  });
});

describe("a device that yields", () => {
  /** Milliseconds that the event loop was asked to be blocked for, by turn of the loop. */
  async function blocked(waiting: "block" | "yield"): Promise<number[]> {
    const device = await openDevice({ adapter: adaptersUnderTest()[0], waiting });
    const turns: number[] = [0];
    const wait = vi.spyOn(Atomics, "wait").mockImplementation((_array, _index, _value, ms = 0) => {
      turns[turns.length - 1] = (turns.at(-1) ?? 0) + Number(ms);
      return "timed-out";
    });
    let watching = true;
    const watch = (): void => {
      turns.push(0);
      if (watching) setImmediate(watch);
    };
    setImmediate(watch);
    try {
      expect(device.waiting).toBe(waiting);
      // Work that takes longer and longer, and three who wait at the same time.
      for (const ms of [5, 20, 60, 60]) {
        const done = performance.now() + ms;
        const work = (): Promise<void> =>
          new Promise((resolve) => {
            const look = (): void => void (performance.now() >= done ? resolve() : setImmediate(look));
            look();
          });
        await Promise.all(["a", "b", "c"].map((key) => patiently(device, key, work)));
      }
    } finally {
      watching = false;
      wait.mockRestore();
      await device.close();
    }
    return turns;
  }

  it("blocks its event loop for less than a millisecond in any turn, whoever waits", async () => {
    const most = Math.max(...(await blocked("yield")));
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(1);
  });

  it("or for as long as it suits, by default", async () => {
    expect(Math.max(...(await blocked("block")))).toBeGreaterThan(1);
    const device = await openDevice({ adapter: adaptersUnderTest()[0] });
    expect(device.waiting).toBe("block");
    await device.close();
    const wrong = openDevice({ waiting: "soon" as "block" });
    await expect(wrong).rejects.toThrow('waiting must be "block" or "yield", got "soon"');
  });
});
