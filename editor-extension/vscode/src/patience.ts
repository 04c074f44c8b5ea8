// How often a server that stops is started again: at once, then more slowly, then not any more.
const WAITS_MS = [0, 2_000, 8_000];
const WITHIN_MS = 3 * 60_000;

export class Patience {
  private crashes: readonly number[] = [];

  /** Milliseconds to wait before the next start, after one more crash; undefined when it is to be left down. */
  afterCrash(now = Date.now()): number | undefined {
    this.crashes = [...this.crashes.filter((time) => now - time < WITHIN_MS), now];
    return WAITS_MS[this.crashes.length - 1];
  }
}
