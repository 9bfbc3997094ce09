/** Speed of a transfer, smoothed, and the time that is left. Times are in milliseconds. */
export class Rate {
  #at: number | undefined;
  #bytes = 0;
  #perSecond: number | undefined;
  #began: number | undefined;

  /** Bytes a second; undefined until there is enough to tell. */
  get perSecond(): number | undefined {
    return this.#perSecond;
  }

  /** Notes that `bytes` of the file have gone by at time `now`. Readings closer than 250 ms are left out. */
  note(bytes: number, now: number): void {
    if (this.#at === undefined || this.#began === undefined) {
      this.#at = this.#began = now;
      this.#bytes = bytes;
      return;
    }
    const passed = now - this.#at;
    if (passed < 250) return;
    const measured = Math.max(0, ((bytes - this.#bytes) * 1000) / passed);
    // Half of the weight is gone after about 3 s; the first seconds count fully, so that the start is not sluggish.
    const weight = Math.max(1 - 0.5 ** (passed / 3000), Math.min(1, passed / (now - this.#began)));
    this.#perSecond =
      this.#perSecond === undefined ? measured : this.#perSecond + weight * (measured - this.#perSecond);
    this.#at = now;
    this.#bytes = bytes;
  }

  /** Seconds until `total` is reached; undefined while the transfer stands still. */
  secondsLeft(total: number): number | undefined {
    if (this.#perSecond === undefined || this.#perSecond < 1) return undefined;
    return Math.max(0, total - this.#bytes) / this.#perSecond;
  }

  /** Forgets everything, for a transfer that was interrupted. */
  reset(): void {
    this.#at = this.#began = this.#perSecond = undefined;
  }
}
