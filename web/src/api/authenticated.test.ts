import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport, type HandlerContext } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@gen/google/rpc/error_details_pb";
import { AssetsService } from "@gen/reelmesh/assets/v1/assets_service_pb";
import { expect, test } from "vitest";

import { authenticated, type Credential } from "./authenticated";

function invalid(): ConnectError {
  const value = create(ErrorInfoSchema, { reason: "CREDENTIAL_INVALID", domain: "rpc.reelmesh" });
  return new ConnectError("expired", Code.Unauthenticated, undefined, [{ desc: ErrorInfoSchema, value }]);
}

/** A credential whose first `stale` tokens are not good any more, and a service that takes the later ones. */
function scene(stale: number, renewable = true) {
  const asked: string[] = [];
  const refused: string[] = [];
  let number = 1;
  const credential: Credential = {
    bearer: () => Promise.resolve(`token-${number}`),
    refused: (bearer, refusal) => {
      refused.push(`${bearer} ${refusal.reason}`);
      number += 1;
      return renewable && refusal.kind === "credential";
    },
  };
  const check = (context: HandlerContext): void => {
    const shown = context.requestHeader.get("authorization") ?? "";
    asked.push(shown);
    if (Number(shown.split("-")[1]) <= stale) throw invalid();
  };
  const transport = createRouterTransport(
    ({ service }) => {
      service(AssetsService, {
        getAsset: ({ assetId }, context) => {
          check(context);
          if (assetId === "missing") throw new ConnectError("none", Code.NotFound);
          return { asset: { assetId } };
        },
        watchAsset: async function* ({ assetId }, context) {
          await Promise.resolve();
          check(context);
          yield { asset: { assetId } };
          if (assetId === "breaks") throw invalid();
        },
      });
    },
    { transport: { interceptors: [authenticated(credential)] } },
  );
  return { asked, refused, client: createClient(AssetsService, transport) };
}

test("a call shows the credential", async () => {
  const { asked, client } = scene(0);
  await client.getAsset({ assetId: "a" });
  expect(asked).toEqual(["Bearer token-1"]);
});

test("a call whose credential is not good any more is made once more with a fresh one", async () => {
  const { asked, client } = scene(1);
  expect((await client.getAsset({ assetId: "a" })).asset?.assetId).toBe("a");
  expect(asked).toEqual(["Bearer token-1", "Bearer token-2"]);
});

test("and only once more", async () => {
  const { asked, client } = scene(9);
  await expect(client.getAsset({ assetId: "a" })).rejects.toThrow("expired");
  expect(asked).toHaveLength(2);
});

test("other refusals, and those of a credential that cannot be renewed, are passed on", async () => {
  const first = scene(0);
  await expect(first.client.getAsset({ assetId: "missing" })).rejects.toThrow("none");
  expect(first.asked).toHaveLength(1);
  const second = scene(1, false);
  await expect(second.client.getAsset({ assetId: "a" })).rejects.toThrow("expired");
  expect(second.asked).toHaveLength(1);
});

async function seen(stream: AsyncIterable<{ asset?: { assetId: string } | undefined }>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { asset } of stream) ids.push(asset?.assetId ?? "");
  return ids;
}

test("a stream that is refused at its beginning is opened once more", async () => {
  const { asked, client } = scene(1);
  expect(await seen(client.watchAsset({ assetId: "a" }))).toEqual(["a"]);
  expect(asked).toEqual(["Bearer token-1", "Bearer token-2"]);
  await expect(seen(scene(9).client.watchAsset({ assetId: "a" }))).rejects.toThrow("expired");
});

test("a stream of which something was seen is not begun again behind the reader's back", async () => {
  const { asked, refused, client } = scene(0);
  await expect(seen(client.watchAsset({ assetId: "breaks" }))).rejects.toThrow("expired");
  expect(asked).toHaveLength(1);
  expect(refused).toEqual(["token-1 CREDENTIAL_INVALID"]);
});
