// Presents a credential with each call, and asks once more with a fresh one when it is not good any more.

import { ConnectError, type Interceptor, type StreamResponse, type UnaryResponse } from "@connectrpc/connect";

import { refusalOfCall, type Refusal } from "./refusal";

/** Whoever holds the credential. */
export interface Credential {
  /** What to present; empty when nobody is signed in. Throws when a fresh one is needed and cannot be had. */
  readonly bearer: () => Promise<string>;
  /** Told that a call with `bearer` was refused. Returns whether the same call with a fresh one may fare better. */
  readonly refused: (bearer: string, refusal: Refusal) => boolean;
}

async function collected<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

async function* each<T>(messages: readonly T[]): AsyncIterable<T> {
  for (const message of messages) yield await Promise.resolve(message);
}

/** The interceptor. A stream is opened anew only while nothing of it was seen. */
export function authenticated(credential: Credential): Interceptor {
  return (next) => async (request) => {
    // A request can be sent once only; what is in it is kept for a second time.
    const sent = request.stream ? await collected(request.message) : [];
    let presented = "";
    const ask = async (): Promise<UnaryResponse | StreamResponse> => {
      presented = await credential.bearer();
      if (presented === "") request.header.delete("authorization");
      else request.header.set("authorization", `Bearer ${presented}`);
      return await next(request.stream ? { ...request, message: each(sent) } : request);
    };
    const mayAskAgain = (thrown: ConnectError): boolean => credential.refused(presented, refusalOfCall(thrown));
    let asked = 1;
    async function* watched(messages: StreamResponse["message"]): StreamResponse["message"] {
      let begun = false;
      try {
        for await (const message of messages) {
          begun = true;
          yield message;
        }
      } catch (error) {
        const thrown = ConnectError.from(error);
        if (!mayAskAgain(thrown) || begun || asked > 1) throw thrown;
        asked += 1;
        const again = await ask();
        if (again.stream) yield* again.message;
      }
    }
    let response: UnaryResponse | StreamResponse;
    try {
      response = await ask();
    } catch (error) {
      const thrown = ConnectError.from(error);
      if (!mayAskAgain(thrown)) throw thrown;
      asked += 1;
      response = await ask();
    }
    return response.stream ? { ...response, message: watched(response.message) } : response;
  };
}
