import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Playback } from "@gen/reelmesh/policy/v1/policy_pb";
import { useEffect, useRef, useState, type ReactElement, type ReactNode } from "react";

import { policy } from "../api/clients";
import { ownRefusal, refusalOfCall, type Refusal } from "../api/refusal";
import { ProveAge } from "../age/ProveAge";
import { announce } from "../app/announcer";
import { Link } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { watchPath, type Format } from "../app/routes";
import { Offers } from "../buy/Offers";
import { useSignedIn } from "../session/current";
import { withNext } from "../session/next";
import { may } from "../session/signedIn";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import type { EngineState } from "./engine";
import { Player } from "./Player";
import { startPlayback } from "./startPlayback";
import { Statement } from "./Statement";
import { useHeartbeats } from "./useHeartbeats";
import { usePlayback, type Watching } from "./usePlayback";

interface Props {
  readonly assetId: string;
  readonly format: Format;
  /** One-time code that came with the address; empty when none did. */
  readonly code: string;
}

/** The button of somebody who is signed in and opens a playback of their own. */
function StartButton({
  assetId,
  label,
  onRefused,
}: {
  assetId: string;
  label: string;
  onRefused: (r: Refusal) => void;
}): ReactElement {
  const [opening, setOpening] = useState(false);
  return (
    <Button
      look="primary"
      icon="play"
      disabled={opening}
      data-testid="start-playback"
      onClick={() => {
        setOpening(true);
        startPlayback(assetId).catch((error: unknown) => {
          setOpening(false);
          onRefused(refusalOfCall(error));
        });
      }}
    >
      {opening ? "Opening…" : label}
    </Button>
  );
}

/** Two ways to the same film, and a way to the other one. */
function FormatChoice({ assetId, format }: { assetId: string; format: Format }): ReactElement {
  return (
    <nav className="segmented" aria-label="Delivery format">
      {(["dash", "hls"] as const).map((choice) => (
        <Link key={choice} href={watchPath(assetId, choice)} aria-current={choice === format ? "true" : undefined}>
          {choice.toUpperCase()}
        </Link>
      ))}
    </nav>
  );
}

function Shortcuts(): ReactElement {
  const keys: readonly (readonly [string, string])[] = [
    ["Space or K", "play or pause"],
    ["← →", "5 seconds back or on"],
    ["Home End", "to the beginning or end"],
    ["F", "full screen"],
    ["M", "sound on or off"],
    ["C", "subtitles on or off"],
    ["< >", "slower or faster"],
  ];
  return (
    <details className="more-info for-keyboards">
      <summary>Keyboard</summary>
      <dl className="shortcuts">
        {keys.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

/** The session, and for those who may the means to end it. */
function Session({ playback, mayEnd }: { playback: Playback; mayEnd: boolean }): ReactElement {
  const [note, setNote] = useState("");
  const until = playback.expireTime === undefined ? undefined : timestampDate(playback.expireTime);
  const end = async (): Promise<void> => {
    try {
      await policy.revokePlaybackSession({ sessionId: playback.sessionId, comment: "Ended on the watch page" });
      setNote("Ended. The player stops with its next request.");
    } catch (error) {
      setNote(refusalOfCall(error).title);
    }
  };
  return (
    <details className="more-info">
      <summary>Session</summary>
      <p>
        <code data-testid="session-id">{playback.sessionId}</code>
      </p>
      {until === undefined ? null : (
        <p>
          Open until <time dateTime={until.toISOString()}>{until.toLocaleString()}</time>
        </p>
      )}
      {mayEnd ? (
        <Button look="danger" icon="stop" data-testid="revoke" onClick={() => void end()}>
          End this playback
        </Button>
      ) : null}
      {note === "" ? null : <p role="status">{note}</p>}
    </details>
  );
}

/** The way to sign in and back. */
function SignInLink({ assetId, format }: { assetId: string; format: Format }): ReactElement {
  return (
    <Link className="button primary" href={withNext("/sign-in", watchPath(assetId, format))} data-testid="to-sign-in">
      Sign in
    </Link>
  );
}

function titleOf(watching: Watching): string {
  return watching.step === "playing" && watching.playback.title !== "" ? watching.playback.title : "Watch";
}

/** Plays one asset, or says why not. */
export function WatchPage({ assetId, format, code }: Props): ReactElement {
  const signedIn = useSignedIn();
  const mayStart = may(signedIn, "playback.create");
  const handle = usePlayback(assetId, code);
  const { watching, refuse, again } = handle;
  const [state, setState] = useState<EngineState>("loading");
  useHeartbeats(handle, assetId, state === "ended");
  const [startMs, setStartMs] = useState<number>();
  const [title, setTitle] = useState(titleOf(watching));
  const stage = useRef<HTMLDivElement>(null);
  if (watching.step === "playing" && watching.playback.title !== title) setTitle(titleOf(watching));

  useEffect(() => {
    if (watching.step === "refused" && watching.refusal.kind === "transient") {
      window.addEventListener("online", again);
      return () => {
        window.removeEventListener("online", again);
      };
    }
    return undefined;
  }, [watching, again]);
  useEffect(() => {
    if (state === "ended") announce("The film has ended.");
  }, [state]);

  const offer = mayStart ? <StartButton assetId={assetId} label="Start playback" onRefused={refuse} /> : null;
  let inside: ReactNode;
  switch (watching.step) {
    case "redeeming":
      inside = <p className="stage-note">Opening…</p>;
      break;
    case "without":
      inside = mayStart ? (
        <div className="stage-note">
          <p>You are signed in and can watch this.</p>
          {offer}
        </div>
      ) : (
        <RefusalPanel
          look="page"
          refusal={ownRefusal("PLAYBACK_NEEDED")}
          actions={<SignInLink {...{ assetId, format }} />}
        />
      );
      break;
    case "refused":
      inside = (
        <RefusalPanel
          look="page"
          refusal={watching.refusal}
          actions={<RefusedActions {...{ watching, again, offer, assetId, format }} />}
        />
      );
      break;
    case "playing":
      inside = (
        <Player
          key={`${watching.attempt} ${format}`}
          playback={watching.playback}
          format={format}
          stage={stage}
          onState={setState}
          onRefused={refuse}
          onStarted={setStartMs}
        />
      );
  }
  const refused = watching.step === "refused" || (watching.step === "without" && !mayStart);
  const shown = refused
    ? "refused"
    : watching.step === "playing"
      ? state
      : watching.step === "without"
        ? "idle"
        : "loading";
  return (
    <div className="watch">
      <div
        ref={stage}
        className="stage"
        data-testid="player"
        data-state={shown}
        data-format={format}
        data-start-ms={startMs === undefined ? undefined : Math.round(startMs)}
      >
        {inside}
      </div>
      <div className="below">
        <PageHead title={title} actions={<FormatChoice assetId={assetId} format={format} />} />
        {watching.step === "playing" ? (
          <div className="infos">
            <Session playback={watching.playback} mayEnd={may(signedIn, "playback.revoke")} />
            <Shortcuts />
            <Statement assetId={assetId} />
          </div>
        ) : null}
      </div>
    </div>
  );
}

const WORTH_ANOTHER_FORMAT = new Set(["MANIFEST_UNREADABLE", "FORMAT_UNSUPPORTED", "MEDIA_MISSING", "KEY_WRONG"]);
const WORTH_ANOTHER_TRY = new Set([
  "DECODE_FAILED",
  "PLAYER_FAILED",
  "UNKNOWN",
  "KEY_MISSING",
  "LICENCE_UNREADABLE",
  "OVERLAY_TAMPERED",
]);

interface ActionProps {
  readonly watching: Extract<Watching, { step: "refused" }>;
  readonly again: () => void;
  readonly offer: ReactElement | null;
  readonly assetId: string;
  readonly format: Format;
}

/** What helps against a refusal. */
function RefusedActions({ watching, again, offer, assetId, format }: ActionProps): ReactElement {
  const { reason, kind, metadata } = watching.refusal;
  const other: Format = format === "dash" ? "hls" : "dash";
  return (
    <>
      {kind === "transient" || WORTH_ANOTHER_TRY.has(reason) ? (
        <Button icon="retry" data-testid="try-again" onClick={again}>
          Try again
        </Button>
      ) : null}
      {WORTH_ANOTHER_FORMAT.has(reason) ? (
        <Link className="button plain" href={watchPath(assetId, other)} onClick={again}>
          Try {other.toUpperCase()}
        </Link>
      ) : null}
      {reason === "ENTITLEMENT_REQUIRED" && offer !== null ? <Offers assetId={assetId} /> : null}
      {reason === "AGE_PROOF_REQUIRED" && offer !== null ? (
        <ProveAge
          threshold={Number(metadata.threshold ?? 18)}
          methods={metadata.methods ?? ""}
          returnPath={watchPath(assetId, format)}
        />
      ) : null}
      {kind === "transient" ? null : offer}
    </>
  );
}
