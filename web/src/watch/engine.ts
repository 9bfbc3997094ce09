// Shaka Player with its controls, for one playback. It plays, or it says why not; it never stands still in silence.

import shaka from "shaka-player/dist/shaka-player.ui-es2021.js";
import "shaka-player/dist/controls.modern.css";

import { ownRefusal, refusalOfAnswer, type Refusal } from "../api/refusal";
import { isDenied, isInterruption, isPlayerError, refusalOfPlayer } from "./playerRefusal";

/** What the player does. */
export type EngineState = "loading" | "playing" | "paused" | "ended";

/** What an engine is told. */
export interface EngineOrder {
  /** Empty element that becomes the player. */
  readonly host: HTMLElement;
  /** Element that goes fullscreen; what lies over the picture is inside it too. */
  readonly stage: HTMLElement;
  readonly url: string;
  readonly mimeType: string;
  readonly licenceUrl: string;
  readonly posterUrl: string;
  readonly thumbnailsUrl: string;
  readonly title: string;
  /** Where to begin, in seconds. */
  readonly startAt: number;
  /** Language of the subtitles to show; empty for none. */
  readonly captions: string;
  /** Whether something lies over the picture that must be seen: then nothing shows the picture without it. */
  readonly overlaid: boolean;
}

/** What an engine tells. */
export interface EngineEvents {
  readonly state: (state: EngineState) => void;
  readonly refused: (refusal: Refusal) => void;
  readonly position: (seconds: number) => void;
  /** The viewer turned subtitles on or, with an empty language, off. */
  readonly captions: (language: string) => void;
  /** The first picture is on the screen, so many milliseconds after the start. */
  readonly started: (milliseconds: number) => void;
}

const CRITICAL = 2;
// A key that has not come by then does not come at all.
const KEY_PATIENCE_MS = 8000;
// While nothing is fetched (all is buffered), the player asks now and then whether it may go on.
const BEAT_MS = 1000;
const QUIET_MS = 4000;
// Building the controls takes a tenth of a second or two, which the first picture would wait for. A film that takes this long to begin has them before it.
const CONTROLS_PATIENCE_MS = 1000;

const UI = {
  castSenderUrl: "",
  contextMenuElements: ["loop", "statistics"],
  topControlPanelElements: [],
  documentPictureInPicture: { enabled: false, preferInitialWindowPlacement: false, disallowReturnToOpener: false },
  enableKeyboardPlaybackControlsInWindow: true,
  keyboardSeekDistance: 5,
  shortcuts: { take_screenshot: "" },
  // Our packages name every track; two of one language, such as a commentary, differ in nothing else.
  trackLabelFormat: shaka.ui.Overlay.TrackLabelFormat.LABEL,
  textTrackLabelFormat: shaka.ui.Overlay.TrackLabelFormat.LABEL,
  showAudioCodec: false,
  showVideoCodec: false,
  seekBarColors: { base: "rgb(255 255 255 / 25%)", buffered: "rgb(255 255 255 / 45%)", played: "#ffb224" },
  volumeBarColors: { base: "rgb(255 255 255 / 35%)", level: "#ffffff" },
};
const DESKTOP_UI = {
  controlPanelElements: [
    "play_pause",
    "mute_volume",
    "time_and_duration",
    "spacer",
    "captions",
    "language",
    "quality",
    "overflow_menu",
    "fullscreen",
  ],
  overflowMenuButtons: ["playback_rate", "captions-position", "picture_in_picture", "loop", "statistics"],
};
const PHONE_UI = {
  controlPanelElements: ["time_and_duration", "spacer", "mute", "overflow_menu", "fullscreen"],
  overflowMenuButtons: ["quality", "captions", "language", "playback_rate", "picture_in_picture"],
};

/** The controls without those that would show the picture alone, where something has to lie over it. */
function withoutWindows(form: typeof DESKTOP_UI, overlaid: boolean): typeof DESKTOP_UI {
  if (!overlaid) return form;
  const alone = new Set(["picture_in_picture", ...(document.fullscreenEnabled ? [] : ["fullscreen"])]);
  const kept = (names: string[]): string[] => names.filter((name) => !alone.has(name));
  return {
    controlPanelElements: kept(form.controlPanelElements),
    overflowMenuButtons: kept(form.overflowMenuButtons),
  };
}

let prepared = false;

function prepare(): void {
  if (prepared) return;
  prepared = true;
  shaka.polyfill.installAll();
}

function languages(): { language: string }[] {
  return navigator.languages.map((language) => ({ language }));
}

/** One player for one playback. Made by `Engine.start`, ended by `destroy`. */
export class Engine {
  readonly #order: EngineOrder;
  readonly #events: EngineEvents;
  readonly #player = new shaka.Player();
  readonly #video = document.createElement("video");
  readonly #gone = new AbortController();
  readonly #began = performance.now();
  #overlay: shaka.ui.Overlay | undefined;
  #keyTimer: number | undefined;
  #controlsTimer: number | undefined;
  #lastAnswer = performance.now();
  #anyFrame = false;
  #anyCaptions = false;

  private constructor(order: EngineOrder, events: EngineEvents) {
    this.#order = order;
    this.#events = events;
  }

  /** Builds a player in `order.host` and begins to play. */
  static start(order: EngineOrder, events: EngineEvents): Engine {
    prepare();
    const engine = new Engine(order, events);
    void engine.#run().catch((error: unknown) => {
      engine.#failed(error);
    });
    return engine;
  }

  /** Ends the player and empties its host. */
  async destroy(): Promise<void> {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    window.clearTimeout(this.#keyTimer);
    window.clearTimeout(this.#controlsTimer);
    this.#video.pause();
    await (this.#overlay?.destroy() ?? this.#player.destroy());
    this.#video.remove();
  }

  async #run(): Promise<void> {
    const unsupported = this.#unsupported();
    if (unsupported !== undefined) {
      this.#refuse(unsupported);
      return;
    }
    this.#events.state("loading");
    this.#build();
    this.#addControlsIn(CONTROLS_PATIENCE_MS);
    this.#listen();
    this.#configure();
    await this.#player.attach(this.#video);
    if (this.#isGone()) return;
    const { url, mimeType, startAt, thumbnailsUrl } = this.#order;
    await this.#player.load(url, startAt > 0 ? startAt : undefined, mimeType);
    if (this.#isGone()) return;
    // Never awaited: with a missing key it may not settle. A browser that forbids to begin by itself leaves the play button.
    this.#video.play().catch(() => {
      if (!this.#video.paused || this.#gone.signal.aborted) return;
      this.#addControlsIn(0);
      this.#events.state("paused");
    });
    // Pictures on the seek bar are a comfort: without them the film plays just as well.
    if (thumbnailsUrl === "" || this.#player.getImageTracks().length > 0) return;
    await this.#player.addThumbnailsTrack(thumbnailsUrl, "text/vtt").catch(() => undefined);
  }

  #isGone(): boolean {
    return this.#gone.signal.aborted;
  }

  #unsupported(): Refusal | undefined {
    if (!window.isSecureContext) return ownRefusal("INSECURE_CONTEXT");
    return shaka.Player.isBrowserSupported() ? undefined : ownRefusal("FORMAT_UNSUPPORTED");
  }

  #build(): void {
    const { host, posterUrl } = this.#order;
    this.#video.className = "shaka-video";
    this.#video.playsInline = true;
    this.#video.disablePictureInPicture = this.#order.overlaid;
    this.#video.disableRemotePlayback = this.#order.overlaid;
    if (posterUrl !== "") this.#video.poster = posterUrl;
    host.append(this.#video);
    this.#player.setVideoContainer(host); // subtitles are laid out in it, controls or not
  }

  /** Builds the controls in so many milliseconds; what was asked for before no longer counts. */
  #addControlsIn(milliseconds: number): void {
    window.clearTimeout(this.#controlsTimer);
    if (this.#isGone() || this.#overlay !== undefined) return;
    this.#controlsTimer = window.setTimeout(() => {
      this.#addControls();
    }, milliseconds);
  }

  #addControls(): void {
    const { host, stage } = this.#order;
    this.#overlay = new shaka.ui.Overlay(this.#player, host, this.#video);
    const form = withoutWindows(this.#overlay.isMobile() ? PHONE_UI : DESKTOP_UI, this.#order.overlaid);
    const ui = { ...UI, ...form, fullScreenElement: stage };
    this.#overlay.configure(ui);
  }

  #configure(): void {
    const { licenceUrl, captions } = this.#order;
    this.#player.configure({
      drm: { servers: { "org.w3.clearkey": licenceUrl } },
      streaming: {
        bufferingGoal: 20,
        ignoreTextStreamFailures: true,
        // A part of the mesh that restarts is away for seconds; what is buffered plays on meanwhile.
        retryParameters: { maxAttempts: 5, baseDelay: 500, backoffFactor: 2 },
        // One door guards all renditions: when it is shut, trying another rendition is waiting in disguise.
        maxDisabledTime: 0,
      },
      manifest: { retryParameters: { maxAttempts: 3, baseDelay: 500 } },
      abr: { defaultBandwidthEstimate: 3_000_000 },
      preferredAudio: languages(),
      preferredText: captions === "" ? [] : [{ language: captions }],
    });
    const network = this.#player.getNetworkingEngine();
    network?.registerRequestFilter((type, request) => {
      if (type === shaka.net.NetworkingEngine.RequestType.LICENSE) request.headers["Content-Type"] = "application/json";
    });
    network?.registerResponseFilter(() => {
      this.#lastAnswer = performance.now();
    });
    // A denied request would be repeated a few times before it becomes an error: there is no use in that.
    network?.addEventListener("retry", (event: Event) => {
      const { error } = event as Event & { error?: unknown };
      if (isPlayerError(error) && isDenied(error)) this.#failed(error);
    });
  }

  #listen(): void {
    const { signal } = this.#gone;
    const on = (name: keyof HTMLMediaElementEventMap, handle: () => void): void => {
      this.#video.addEventListener(name, handle, { signal });
    };
    this.#player.addEventListener("error", (event: Event) => {
      this.#failed((event as CustomEvent<unknown>).detail);
    });
    this.#player.addEventListener("textchanged", () => {
      const shown = this.#player.getTextTracks().find((track) => track.active);
      this.#anyCaptions ||= shown !== undefined;
      this.#events.captions(shown?.language ?? "");
    });
    window.addEventListener("keydown", this.#firstCaptions, { signal, capture: true });
    on("playing", () => {
      window.clearTimeout(this.#keyTimer);
      this.#events.state("playing");
    });
    on("pause", () => {
      if (!this.#video.ended) this.#events.state("paused");
    });
    on("ended", () => {
      this.#events.state("ended");
      this.#events.position(0);
    });
    on("waiting", () => {
      if (!this.#video.paused) this.#events.state("loading");
    });
    for (const moved of ["timeupdate", "seeking"] as const) {
      on(moved, () => {
        if (!this.#video.ended) this.#events.position(this.#video.currentTime);
      });
    }
    on("waitingforkey", () => {
      window.clearTimeout(this.#keyTimer);
      this.#keyTimer = window.setTimeout(() => {
        this.#refuse(ownRefusal("KEY_MISSING"));
      }, KEY_PATIENCE_MS);
    });
    this.#video.requestVideoFrameCallback(() => {
      this.#anyFrame = true;
      performance.mark("first-frame"); // since the page was asked for
      this.#events.started(performance.now() - this.#began);
      window.requestAnimationFrame(() => {
        this.#addControlsIn(0); // when the picture is on the screen
      });
    });
    const beat = window.setInterval(() => void this.#beat(), BEAT_MS);
    signal.addEventListener("abort", () => {
      window.clearInterval(beat);
    });
  }

  /** The player's own key C brings the last subtitles back. Before there were any, this chooses the viewer's language. */
  readonly #firstCaptions = (event: KeyboardEvent): void => {
    const typing = event.target instanceof HTMLInputElement && event.target.type !== "range";
    if (event.key !== "c" || event.ctrlKey || event.metaKey || event.altKey || typing || this.#anyCaptions) return;
    const tracks = this.#player.getTextTracks().filter((track) => !track.forced);
    const wanted = navigator.languages.map((language) => language.split("-")[0]);
    const fitting = tracks.find((track) => wanted.includes(track.language.split("-")[0]));
    const chosen = fitting ?? tracks[0];
    if (chosen === undefined) return;
    this.#player.selectTextTrack(chosen);
    event.stopImmediatePropagation(); // the player would turn them off again at once
  };

  /** Asks for the manifest when nothing was fetched for a while, so that a revoked session ends although all is buffered. */
  async #beat(): Promise<void> {
    if (this.#video.paused || performance.now() - this.#lastAnswer < QUIET_MS) return;
    this.#lastAnswer = performance.now(); // one question at a time
    try {
      const answer = await fetch(this.#order.url, { cache: "no-store", signal: this.#gone.signal });
      if (answer.status !== 401 && answer.status !== 403) return;
      const body = await answer.text();
      const header = (name: string): string | null => answer.headers.get(name);
      this.#refuse(
        refusalOfAnswer({ status: answer.status, header, body }, "PLAYER_FAILED", { 403: "TICKET_INVALID" }),
      );
    } catch {
      // Away for a moment: what is buffered goes on playing, and fetching the next segment will tell.
    }
  }

  #failed(error: unknown): void {
    if (!isPlayerError(error)) {
      this.#refuse(ownRefusal("PLAYER_FAILED"));
      return;
    }
    if (isInterruption(error)) return;
    if (error.severity === CRITICAL || isDenied(error)) {
      this.#refuse(refusalOfPlayer(error, this.#anyFrame));
    }
  }

  #refuse(refusal: Refusal): void {
    if (this.#gone.signal.aborted) return;
    if (document.fullscreenElement !== null) void document.exitFullscreen().catch(() => undefined);
    this.#events.refused(refusal);
    void this.destroy();
  }
}
