// The services behind this page's own origin, by gRPC-web.

import { ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { freshId } from "./correlation";

type Annotate = (thrown: ConnectError) => void;

/** Lets an interceptor see the errors of a stream too: they come while it is read, not when it is opened. */
async function* observed<T>(messages: AsyncIterable<T>, annotate: Annotate): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    const thrown = ConnectError.from(error);
    annotate(thrown);
    throw thrown;
  }
}

/** Gives each call an id that can be found again in every log of the mesh, and lets the browser say who it is. */
const correlated: Interceptor = (next) => async (request) => {
  const id = freshId();
  request.header.set("x-correlation-id", id);
  // The library's own name stands there, and people who look through their sessions know browsers: `user-agent` tells.
  request.header.delete("x-user-agent");
  const annotate: Annotate = (thrown) => {
    if (!thrown.metadata.has("x-correlation-id")) thrown.metadata.set("x-correlation-id", id);
  };
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: observed(response.message, annotate) } : response;
  } catch (error) {
    const thrown = ConnectError.from(error);
    annotate(thrown);
    throw thrown;
  }
};

/** A way to the services; interceptors come first to last, each around the next. */
export function transportOf(...interceptors: Interceptor[]): Transport {
  return createGrpcWebTransport({ baseUrl: window.location.origin, interceptors: [...interceptors, correlated] });
}

/** For calls that need no credential, or carry it in the request itself: whoever is signed in stays at home. */
export const open: Transport = transportOf();
