import { policy } from "../api/clients";
import { freshId } from "../api/correlation";
import { navigate } from "../app/navigation";
import { watchPath } from "../app/routes";

/** Opens a playback session as whoever is signed in and goes to the watch page with its one-time code. Throws what the call throws. */
export async function startPlayback(assetId: string): Promise<void> {
  const { code } = await policy.createPlayback({ requestId: freshId(), assetId });
  navigate(watchPath(assetId), { code });
}
