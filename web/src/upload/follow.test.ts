import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb";
import { AssetState } from "@gen/reelmesh/assets/v1/assets_pb";
import { AssetsService } from "@gen/reelmesh/assets/v1/assets_service_pb";
import { expect, test } from "vitest";

import { followAsset, type Followed } from "./follow";

type Step = AssetState | ConnectError;

function refused(code: Code, reason: string, domain: string): ConnectError {
  return new ConnectError(reason, code, undefined, [{ desc: ErrorInfoSchema, value: { reason, domain } }]);
}

const NOT_FOUND = refused(Code.NotFound, "ASSET_NOT_FOUND", "assets.reelmesh");
const AWAY = refused(Code.Unavailable, "DRAINING", "rpc.reelmesh");

/** An assets service that answers each call with the next list of steps. */
function serviceOf(calls: Step[][]): {
  client: ReturnType<typeof createClient<typeof AssetsService>>;
  asked: number[];
} {
  const asked: number[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(AssetsService, {
      async *watchAsset(request) {
        expect(request.waitForCommit).toBe(true);
        asked.push(asked.length);
        await Promise.resolve();
        for (const step of calls[asked.length - 1] ?? [NOT_FOUND]) {
          if (step instanceof ConnectError) throw step;
          yield { asset: { assetId: request.assetId, state: step } };
        }
      },
    });
  });
  return { client: createClient(AssetsService, transport), asked };
}

async function follow(calls: Step[][]): Promise<{ told: string[]; waits: number[]; asked: number }> {
  const { client, asked } = serviceOf(calls);
  const waits: number[] = [];
  const told: string[] = [];
  const wait = (milliseconds: number): Promise<void> => {
    waits.push(milliseconds);
    return Promise.resolve();
  };
  const tell = (news: Followed): string =>
    news.kind === "asset" ? AssetState[news.asset.state] : `${news.kind} ${news.refusal.reason}`;
  for await (const news of followAsset(client, "ast_1", new AbortController().signal, wait)) told.push(tell(news));
  return { told, waits, asked: asked.length };
}

test("an asset is followed until it is ready", async () => {
  const { told, asked } = await follow([[AssetState.PROCESSING, AssetState.READY]]);
  expect(told).toEqual(["PROCESSING", "READY"]);
  expect(asked).toBe(1);
});

test("a stream that breaks is opened again", async () => {
  const { told, waits } = await follow([
    [AssetState.PROCESSING, AWAY],
    [AssetState.PROCESSING, AssetState.FAILED],
  ]);
  expect(told).toEqual(["PROCESSING", "reconnecting DRAINING", "PROCESSING", "FAILED"]);
  expect(waits).toHaveLength(1);
});

test("a stream that was one too many is opened again when the server said, and not before", async () => {
  const limited = new ConnectError("too many", Code.ResourceExhausted, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "RATE_LIMITED", domain: "rpc.reelmesh" } },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 42n, nanos: 500_000_000 } } },
  ]);
  const { told, waits } = await follow([[limited], [AssetState.READY]]);
  expect(told).toEqual(["reconnecting RATE_LIMITED", "READY"]);
  expect(waits).toEqual([42_500]);
});

test("a stream that ends early without a word is opened again", async () => {
  const { told } = await follow([[AssetState.PROCESSING], [AssetState.READY]]);
  expect(told).toEqual(["PROCESSING", "READY"]);
});

test("an asset that is not made yet is waited for, with patience but not for ever", async () => {
  const late = await follow([[NOT_FOUND], [NOT_FOUND], [AssetState.READY]]);
  expect(late.told.at(-1)).toBe("READY");
  const never = await follow([]);
  expect(never.told.at(-1)).toBe("refused ASSET_NOT_FOUND");
  expect(never.asked).toBe(4);
});

test("a refusal that time does not heal ends it at once", async () => {
  const denied = refused(Code.PermissionDenied, "PERMISSION_MISSING", "rpc.reelmesh");
  const { told, waits } = await follow([[denied]]);
  expect(told).toEqual(["refused PERMISSION_MISSING"]);
  expect(waits).toEqual([]);
});

test("it ends quietly when nobody listens any more", async () => {
  const { client, asked } = serviceOf([[AssetState.PROCESSING, AWAY]]);
  const gone = new AbortController();
  const told: Followed[] = [];
  for await (const news of followAsset(client, "ast_1", gone.signal, () => Promise.resolve())) {
    told.push(news);
    gone.abort();
  }
  expect(told).toHaveLength(1);
  expect(asked).toHaveLength(1);
});
