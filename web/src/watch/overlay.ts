// The visible overlay: who watches, over the picture, moving. It watches itself: whoever removes or hides it is noticed.
//
// What it is made of lies in a closed shadow tree of an element that never changes once it is there, so that every change of that element is
// somebody else's.

/** How an overlay looks and moves. */
export interface OverlayLook {
  /** Text; `{time}` in it becomes the present moment. */
  readonly text: string;
  /** How opaque the letters are, 0 to 1. */
  readonly opacity: number;
  /** Height of the letters as a share of the stage's. */
  readonly size: number;
  /** Whether it glides from place to place. It jumps otherwise. */
  readonly drifts: boolean;
  /** Seconds that it takes to another place, or stays at one. */
  readonly seconds: number;
  /** Whether letters are dark on what is bright and bright on what is dark. */
  readonly contrastAware: boolean;
}

/** What an overlay is told, and what it tells. */
export interface OverlayOrder {
  /** Element that it lies over, which is also what goes fullscreen. */
  readonly stage: HTMLElement;
  readonly look: OverlayLook;
  /** It was removed, hidden, or left behind by something that went fullscreen without it. Told once. */
  readonly tampered: (what: string) => void;
}

// Steps of the sequence R2, whose places are spread evenly over a square; copies for review take the same.
const ACROSS = 0.7548776662;
const DOWN = 0.569840291;
const CHECK_MS = 500;
const LEAST_LETTERS = 11;
// A page that is being laid out anew, such as on the way into full screen, has odd sizes for a moment: twice is no accident.
const STRIKES = 2;

/** Where an overlay is after so many seconds: shares of the room that it has across and down. */
export function placeAt(look: OverlayLook, seconds: number): { readonly across: number; readonly down: number } {
  const step = Math.max(1, look.seconds);
  if (look.drifts) {
    const wave = (turns: number, phase: number): number => 0.5 + 0.5 * Math.sin(2 * Math.PI * turns + phase);
    return { across: wave(seconds / (step * 4), 0), down: wave(seconds / (step * 5.5), 1) };
  }
  const number = Math.floor(seconds / step);
  return { across: (0.5 + ACROSS * number) % 1, down: (0.5 + DOWN * number) % 1 };
}

/** Height of the letters over a stage so high, in pixels: on a small screen no smaller than can be read. */
export function letterHeight(look: OverlayLook, stageHeight: number): number {
  return Math.max(LEAST_LETTERS, stageHeight * look.size);
}

/** The text at a moment. */
export function textAt(look: OverlayLook, now: Date): string {
  const moment = `${now.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  return look.text.replaceAll("{time}", moment);
}

/** One overlay over one stage. Made by `Overlay.over`, ended by `destroy`. */
export class Overlay {
  readonly #order: OverlayOrder;
  readonly #host = document.createElement("div");
  readonly #face = document.createElement("span");
  readonly #gone = new AbortController();
  readonly #began = performance.now();
  #strikes = 0;

  private constructor(order: OverlayOrder) {
    this.#order = order;
  }

  /** Lays an overlay over a stage. */
  static over(order: OverlayOrder): Overlay {
    const overlay = new Overlay(order);
    overlay.#build();
    overlay.#move();
    overlay.#watch();
    return overlay;
  }

  /** Takes it away. */
  destroy(): void {
    this.#gone.abort();
    this.#host.remove();
  }

  #build(): void {
    const { look, stage } = this.#order;
    const host = this.#host;
    host.dataset.testid = "overlay";
    host.setAttribute("aria-hidden", "true");
    Object.assign(host.style, {
      position: "absolute",
      inset: "0",
      overflow: "hidden",
      pointerEvents: "none",
      userSelect: "none",
      zIndex: "2147483000",
      mixBlendMode: look.contrastAware ? "difference" : "normal",
      opacity: String(look.opacity),
    });
    // By difference white turns the picture into its opposite, which shows everywhere but on grey; edges of grey show there.
    const edge = look.contrastAware ? "rgb(128 128 128)" : "rgb(0 0 0)";
    Object.assign(this.#face.style, {
      position: "absolute",
      left: "0",
      top: "0",
      maxWidth: "100%",
      whiteSpace: "pre-wrap",
      color: "rgb(255 255 255)",
      font: "600 16px/1.2 system-ui, sans-serif",
      textShadow: `0 0 2px ${edge}, 1px 1px 0 ${edge}, -1px -1px 0 ${edge}`,
    });
    host.attachShadow({ mode: "closed" }).append(this.#face);
    stage.append(host);
  }

  readonly #move = (): void => {
    if (this.#gone.signal.aborted) return;
    const { look, stage } = this.#order;
    const text = textAt(look, new Date());
    if (this.#face.textContent !== text) this.#face.textContent = text;
    this.#face.style.fontSize = `${letterHeight(look, stage.clientHeight).toFixed(1)}px`;
    const { across, down } = placeAt(look, (performance.now() - this.#began) / 1000);
    const x = Math.max(0, stage.clientWidth - this.#face.offsetWidth) * across;
    const y = Math.max(0, stage.clientHeight - this.#face.offsetHeight) * down;
    this.#face.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    requestAnimationFrame(this.#move);
  };

  #watch(): void {
    const { stage } = this.#order;
    const { signal } = this.#gone;
    const observer = new MutationObserver((records) => {
      if (records.some(({ target }) => target === this.#host)) this.#tampered("changed");
      else if (this.#host.parentElement !== stage) this.#tampered("removed");
    });
    observer.observe(stage, { childList: true });
    observer.observe(this.#host, { attributes: true, childList: true });
    const timer = window.setInterval(() => {
      this.#check();
    }, CHECK_MS);
    document.addEventListener(
      "fullscreenchange",
      () => {
        this.#fullscreen();
      },
      { signal },
    );
    signal.addEventListener("abort", () => {
      observer.disconnect();
      window.clearInterval(timer);
    });
  }

  /** What goes fullscreen must take the overlay along. */
  #fullscreen(): void {
    const full = document.fullscreenElement;
    if (full === null || full.contains(this.#host)) return;
    void document.exitFullscreen().catch(() => undefined);
    this.#tampered("left behind");
  }

  /** Style sheets of others hide without changing anything here: whether it can be seen is looked at now and then. */
  #check(): void {
    if (this.#order.stage.clientHeight === 0) return; // the whole player is hidden, and nothing is to be seen at all
    this.#strikes = this.#seen() ? 0 : this.#strikes + 1;
    if (this.#strikes >= STRIKES) this.#tampered("hidden");
  }

  #seen(): boolean {
    const { stage, look } = this.#order;
    const host = this.#host;
    if (!host.isConnected || host.parentElement !== stage) return false;
    const style = getComputedStyle(host);
    const plain =
      style.display !== "none" &&
      style.visibility === "visible" &&
      Math.abs(Number(style.opacity) - look.opacity) < 0.01 &&
      style.filter === "none" &&
      style.clipPath === "none" &&
      style.transform === "none" &&
      style.zIndex === host.style.zIndex;
    const { width, height } = host.getBoundingClientRect();
    return plain && width >= stage.clientWidth * 0.9 && height >= stage.clientHeight * 0.9;
  }

  #tampered(what: string): void {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    this.#order.tampered(what);
  }
}
