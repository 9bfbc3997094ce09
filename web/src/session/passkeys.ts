// Passkeys in this browser (W3C Web Authentication, Level 3): the browser asks the device, the server judges the answer.

import { freshId } from "../api/correlation";
import { passkeyEntrance, passkeys as own } from "../api/clients";
import { ownRefusal, Refused } from "../api/refusal";
import { credential } from "./current";
import { belongsTo, sameAt } from "./relyingParty";

/** Whether this browser can use passkeys at all, on this connection. */
export function passkeysWork(): boolean {
  return (
    window.isSecureContext &&
    typeof PublicKeyCredential === "function" &&
    "parseRequestOptionsFromJSON" in PublicKeyCredential
  );
}

function elsewhere(rpId: string): Refused {
  const detail = `Passkeys work at ${sameAt(rpId, window.location)} only: open this page there.`;
  return new Refused(ownRefusal("PASSKEY_ELSEWHERE", { detail }));
}

/** What a device's refusal means. */
function refusedByDevice(error: unknown): Refused {
  switch (error instanceof DOMException ? error.name : "") {
    case "InvalidStateError":
      return new Refused(ownRefusal("PASSKEY_HELD"));
    case "NotSupportedError":
    case "SecurityError":
      return new Refused(ownRefusal("PASSKEY_UNSUPPORTED"));
    default:
      return new Refused(ownRefusal("PASSKEY_CANCELLED"));
  }
}

async function asked(work: () => Promise<Credential | null>): Promise<string> {
  let answer: Credential | null;
  try {
    answer = await work();
  } catch (error) {
    throw refusedByDevice(error);
  }
  if (!(answer instanceof PublicKeyCredential)) throw new Refused(ownRefusal("PASSKEY_UNSUPPORTED"));
  return JSON.stringify(answer.toJSON());
}

async function signInOptions(): Promise<PublicKeyCredentialRequestOptionsJSON> {
  const { options } = await passkeyEntrance.beginPasskeySignIn({});
  return JSON.parse(options) as PublicKeyCredentialRequestOptionsJSON;
}

async function finishSignIn(answer: string): Promise<void> {
  const { tokens } = await passkeyEntrance.finishPasskeySignIn({ requestId: freshId(), credential: answer });
  if (tokens === undefined) throw new Error("the answer holds no tokens");
  credential.signIn(tokens);
}

async function chosen(signal: AbortSignal): Promise<void> {
  const options = await signInOptions();
  const rpId = options.rpId ?? window.location.hostname;
  if (!belongsTo(window.location.hostname, rpId)) throw elsewhere(rpId);
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  await finishSignIn(await asked(() => navigator.credentials.get({ publicKey, signal })));
}

/** Sends an answer, and tells what comes of it. */
export type Send = (work: () => Promise<void>) => Promise<unknown>;

const RENEWED_AFTER_MS = 240_000;

async function offered(signal: AbortSignal, send: Send): Promise<void> {
  if (!passkeysWork() || !(await PublicKeyCredential.isConditionalMediationAvailable())) return;
  const over = (): boolean => signal.aborted;
  while (!over()) {
    const options = await signInOptions();
    if (!belongsTo(window.location.hostname, options.rpId ?? "") || over()) return;
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const round = AbortSignal.any([signal, AbortSignal.timeout(RENEWED_AFTER_MS)]);
    let answer: Credential | null;
    try {
      answer = await navigator.credentials.get({ publicKey, signal: round, mediation: "conditional" });
    } catch (error) {
      if (round.aborted && !over()) continue;
      throw error;
    }
    if (!(answer instanceof PublicKeyCredential)) return;
    const made = JSON.stringify(answer.toJSON());
    await send(() => finishSignIn(made));
    return;
  }
}

/** What a page offers while nobody is signed in. Browsers ask one question at a time, so one way ends the other. */
export class PasskeyOffer {
  readonly #send: Send;
  #round = new AbortController();

  constructor(send: Send) {
    this.#send = send;
  }

  /**
   * Offers passkeys among the addresses that the browser fills in (conditional mediation). A question is good for five minutes, so it is
   * asked anew before that. Ends when somebody signed in, or `stop` is called, or where the browser does not do this.
   */
  start(): void {
    const { signal } = this.#next();
    // What goes wrong before a person chose a passkey is told when somebody asks for one.
    offered(signal, this.#send).catch(() => undefined);
  }

  /** Signs in with a passkey that the person chooses now. Throws what `refusalOfCall` understands; then passkeys are offered again. */
  async choose(): Promise<void> {
    const round = this.#next();
    try {
      await chosen(round.signal);
    } catch (error) {
      if (!round.signal.aborted) this.start();
      throw error;
    }
  }

  /** Takes the offer back. */
  stop(): void {
    this.#round.abort();
  }

  #next(): AbortController {
    this.#round.abort();
    this.#round = new AbortController();
    return this.#round;
  }
}

/** Adds a passkey to the account of whoever is signed in. Throws what `refusalOfCall` understands. */
export async function addPasskey(displayName: string): Promise<void> {
  const begun = await own.beginPasskeyRegistration({});
  const options = JSON.parse(begun.options) as PublicKeyCredentialCreationOptionsJSON;
  const rpId = options.rp.id ?? window.location.hostname;
  if (!belongsTo(window.location.hostname, rpId)) throw elsewhere(rpId);
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const made = await asked(() => navigator.credentials.create({ publicKey }));
  await own.finishPasskeyRegistration({ requestId: freshId(), credential: made, displayName });
}
