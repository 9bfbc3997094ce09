const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Bytes for people, in decimal units with three significant digits: `1.25 GB`. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ""}`;
}

/** A stretch of film as a timecode: `1:02:03`, `0:07`. */
export function timecode(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${h > 0 ? String(m).padStart(2, "0") : String(m)}:${String(s).padStart(2, "0")}`;
  return h > 0 ? `${h}:${tail}` : tail;
}

/** Time left for people, rounded so that it does not flicker: `a few seconds`, `about 40 s`, `about 3 min`, `about 1 h 20 min`. */
export function remaining(seconds: number): string {
  if (seconds < 5) return "a few seconds";
  if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} s`;
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return `about ${minutes} min`;
  const rounded = Math.round(minutes / 5) * 5;
  const left = rounded % 60;
  return `about ${Math.floor(rounded / 60)} h${left > 0 ? ` ${left} min` : ""}`;
}

/** A share of 0 to 1 as a whole percentage that says 100 only when all is done. */
export function percent(fraction: number): string {
  return `${Math.floor(Math.min(1, Math.max(0, fraction)) * 100)}%`;
}

/** A moment in the past for people: `just now`, `5 min ago`, `3 h ago`, then the date. */
export function ago(then: Date, now: Date = new Date()): string {
  const seconds = (now.getTime() - then.getTime()) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return then.toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** One or many: `1 file`, `3 files`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** What a server said, as a sentence for people: begun with a capital, ended with a full stop. */
export function sentence(text: string): string {
  const bare = text.trim().replace(/[.;]$/, "");
  return bare === "" ? "" : `${bare.charAt(0).toUpperCase()}${bare.slice(1)}.`;
}
