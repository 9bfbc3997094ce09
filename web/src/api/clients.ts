// The services behind this page's own origin, by gRPC-web.

import { Code, ConnectError, createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { AssetsService } from "@gen/reelmesh/assets/v1/assets_service_pb";
import { OAuthService } from "@gen/reelmesh/identity/v1/oauth_service_pb";
import { SsoService } from "@gen/reelmesh/identity/v1/sso_service_pb";
import { PolicyService } from "@gen/reelmesh/policy/v1/policy_service_pb";
import { UploadService } from "@gen/reelmesh/upload/v1/upload_service_pb";

import { credential } from "../session/current";
import { freshId } from "./correlation";
import { refusalOfCall } from "./refusal";

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

/** An interceptor that prepares each request and sees each error. */
function around(prepare: (header: Headers) => Annotate): Interceptor {
  return (next) => async (request) => {
    const annotate = prepare(request.header);
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: observed(response.message, annotate) } : response;
    } catch (error) {
      const thrown = ConnectError.from(error);
      annotate(thrown);
      throw thrown;
    }
  };
}

/** Gives each call an id that can be found again in every log of the mesh. */
const correlated = around((header) => {
  const id = freshId();
  header.set("x-correlation-id", id);
  return (thrown) => {
    if (!thrown.metadata.has("x-correlation-id")) thrown.metadata.set("x-correlation-id", id);
  };
});

/** Presents the operator's key, and forgets it when it is not accepted. */
const authenticated = around((header) => {
  const { key } = credential.state();
  if (key !== "") header.set("authorization", `Bearer ${key}`);
  return (thrown) => {
    if (thrown.code === Code.Unauthenticated) credential.refuse(key, refusalOfCall(thrown));
  };
});

const baseUrl = window.location.origin;
const operator = createGrpcWebTransport({ baseUrl, interceptors: [authenticated, correlated] });
// The credential of these calls is in the request itself: the key stays at home.
const viewer = createGrpcWebTransport({ baseUrl, interceptors: [correlated] });

/** Assets, with the operator's key. */
export const assets: Client<typeof AssetsService> = createClient(AssetsService, operator);
/** Uploads, with the operator's key. */
export const uploads: Client<typeof UploadService> = createClient(UploadService, operator);
/** Playback sessions, with the operator's key. */
export const policy: Client<typeof PolicyService> = createClient(PolicyService, operator);
/** Exchange of one-time codes, without a key. */
export const redemption: Client<typeof PolicyService> = createClient(PolicyService, viewer);
/** What apps and devices ask, and the signed-in person's answers. */
export const oauth: Client<typeof OAuthService> = createClient(OAuthService, operator);
/** Refusal of an app where nobody is signed in. */
export const refusing: Client<typeof OAuthService> = createClient(OAuthService, viewer);
/** Sign-in at outside providers, which begins and ends without a credential. */
export const sso: Client<typeof SsoService> = createClient(SsoService, viewer);
